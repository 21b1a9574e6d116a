//! Values on their way into a statement and out of a row.

use std::borrow::Cow;
use std::sync::Arc;

use crate::error::Result;

/// A value that owns what it holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// No value.
    Null,
    /// Stored by SQLite as 0 or 1.
    Bool(bool),
    /// A whole number; times are milliseconds since 1970.
    Int(i64),
    /// A number.
    Real(f64),
    /// A text without NUL.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A JSON text, well formed; JSONB on PostgreSQL.
    Json(String),
}

/// A value that a row or a caller lends, by its run-time type.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ValueRef<'r> {
    /// No value.
    Null,
    /// PostgreSQL only: SQLite has 0 and 1.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Real(f64),
    /// A text; JSON comes as text too.
    Text(&'r str),
    /// Bytes.
    Bytes(&'r [u8]),
}

impl ValueRef<'_> {
    /// The name of the type, for errors.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) => "a whole number",
            Self::Real(_) => "a number",
            Self::Text(_) => "a text",
            Self::Bytes(_) => "bytes",
        }
    }
}

impl From<ValueRef<'_>> for Value {
    fn from(value: ValueRef<'_>) -> Self {
        match value {
            ValueRef::Null => Self::Null,
            ValueRef::Bool(it) => Self::Bool(it),
            ValueRef::Int(it) => Self::Int(it),
            ValueRef::Real(it) => Self::Real(it),
            ValueRef::Text(it) => Self::Text(it.to_owned()),
            ValueRef::Bytes(it) => Self::Bytes(it.to_owned()),
        }
    }
}

impl<'v> From<&'v Value> for ValueRef<'v> {
    fn from(value: &'v Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(it) => Self::Bool(*it),
            Value::Int(it) => Self::Int(*it),
            Value::Real(it) => Self::Real(*it),
            Value::Text(it) | Value::Json(it) => Self::Text(it),
            Value::Bytes(it) => Self::Bytes(it),
        }
    }
}

/// A parameter: lent where the type can, else made.
#[derive(Debug)]
pub enum Bound<'v> {
    /// Lent.
    Ref(ValueRef<'v>),
    /// Made for this call.
    Owned(Value),
}

impl Bound<'_> {
    pub(crate) fn as_ref(&self) -> ValueRef<'_> {
        match self {
            Self::Ref(it) => *it,
            Self::Owned(it) => it.into(),
        }
    }
}

/// What can be bound as a parameter.
pub trait ToValue {
    /// The value, owned.
    fn to_value(&self) -> Value;

    /// The value, lent if this type can; saves the copy. What it gives equals
    /// [`to_value`](Self::to_value).
    fn bound(&self) -> Bound<'_> {
        Bound::Owned(self.to_value())
    }
}

impl ToValue for str {
    fn to_value(&self) -> Value {
        Value::Text(self.to_owned())
    }

    fn bound(&self) -> Bound<'_> {
        Bound::Ref(ValueRef::Text(self))
    }
}

impl ToValue for String {
    fn to_value(&self) -> Value {
        Value::Text(self.clone())
    }

    fn bound(&self) -> Bound<'_> {
        Bound::Ref(ValueRef::Text(self))
    }
}

impl ToValue for [u8] {
    fn to_value(&self) -> Value {
        Value::Bytes(self.to_owned())
    }

    fn bound(&self) -> Bound<'_> {
        Bound::Ref(ValueRef::Bytes(self))
    }
}

impl ToValue for Vec<u8> {
    fn to_value(&self) -> Value {
        Value::Bytes(self.clone())
    }

    fn bound(&self) -> Bound<'_> {
        Bound::Ref(ValueRef::Bytes(self))
    }
}

impl<const N: usize> ToValue for [u8; N] {
    fn to_value(&self) -> Value {
        Value::Bytes(self.to_vec())
    }

    fn bound(&self) -> Bound<'_> {
        Bound::Ref(ValueRef::Bytes(self))
    }
}

impl ToValue for Value {
    fn to_value(&self) -> Value {
        self.clone()
    }

    fn bound(&self) -> Bound<'_> {
        Bound::Ref(self.into())
    }
}

macro_rules! whole_numbers {
    ($($number:ty),*) => {$(
        impl ToValue for $number {
            fn to_value(&self) -> Value {
                Value::Int(i64::from(*self))
            }

            fn bound(&self) -> Bound<'_> {
                Bound::Ref(ValueRef::Int(i64::from(*self)))
            }
        }
    )*};
}
whole_numbers!(i16, i32, i64, u16, u32);

impl ToValue for bool {
    fn to_value(&self) -> Value {
        Value::Bool(*self)
    }

    fn bound(&self) -> Bound<'_> {
        Bound::Ref(ValueRef::Bool(*self))
    }
}

impl ToValue for f64 {
    fn to_value(&self) -> Value {
        Value::Real(*self)
    }

    fn bound(&self) -> Bound<'_> {
        Bound::Ref(ValueRef::Real(*self))
    }
}

impl<T: ToValue> ToValue for Option<T> {
    fn to_value(&self) -> Value {
        self.as_ref().map_or(Value::Null, ToValue::to_value)
    }

    fn bound(&self) -> Bound<'_> {
        self.as_ref().map_or(Bound::Ref(ValueRef::Null), ToValue::bound)
    }
}

macro_rules! pointers {
    ($($pointer:ty),*) => {$(
        impl<T: ToValue + ?Sized> ToValue for $pointer {
            fn to_value(&self) -> Value {
                (**self).to_value()
            }

            fn bound(&self) -> Bound<'_> {
                (**self).bound()
            }
        }
    )*};
}
pointers!(&T, Arc<T>, Box<T>);

impl<T: ToValue + ToOwned + ?Sized> ToValue for Cow<'_, T> {
    fn to_value(&self) -> Value {
        (**self).to_value()
    }

    fn bound(&self) -> Bound<'_> {
        (**self).bound()
    }
}

/// What can be read from a column.
pub trait FromRow: Sized {
    /// The type in words, for errors.
    const EXPECTS: &'static str;

    /// The value, or `None` if it is of another type. A number is read from a whole one too.
    fn from_value(value: ValueRef<'_>) -> Option<Self>;
}

impl FromRow for String {
    const EXPECTS: &'static str = "a text";

    fn from_value(value: ValueRef<'_>) -> Option<Self> {
        if let ValueRef::Text(it) = value { Some(it.to_owned()) } else { None }
    }
}

impl FromRow for Arc<str> {
    const EXPECTS: &'static str = "a text";

    fn from_value(value: ValueRef<'_>) -> Option<Self> {
        if let ValueRef::Text(it) = value { Some(it.into()) } else { None }
    }
}

impl FromRow for i64 {
    const EXPECTS: &'static str = "a whole number";

    fn from_value(value: ValueRef<'_>) -> Option<Self> {
        if let ValueRef::Int(it) = value { Some(it) } else { None }
    }
}

impl FromRow for i32 {
    const EXPECTS: &'static str = "a whole number of 32 bits";

    fn from_value(value: ValueRef<'_>) -> Option<Self> {
        i64::from_value(value)?.try_into().ok()
    }
}

impl FromRow for u32 {
    const EXPECTS: &'static str = "a whole number of 32 bits, not negative";

    fn from_value(value: ValueRef<'_>) -> Option<Self> {
        i64::from_value(value)?.try_into().ok()
    }
}

impl FromRow for bool {
    const EXPECTS: &'static str = "a boolean";

    fn from_value(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Bool(it) => Some(it),
            ValueRef::Int(0) => Some(false),
            ValueRef::Int(1) => Some(true),
            _ => None,
        }
    }
}

impl FromRow for f64 {
    const EXPECTS: &'static str = "a number";

    #[expect(clippy::cast_precision_loss, reason = "a number is what was asked for")]
    fn from_value(value: ValueRef<'_>) -> Option<Self> {
        match value {
            ValueRef::Real(it) => Some(it),
            ValueRef::Int(it) => Some(it as f64),
            _ => None,
        }
    }
}

impl FromRow for Vec<u8> {
    const EXPECTS: &'static str = "bytes";

    fn from_value(value: ValueRef<'_>) -> Option<Self> {
        if let ValueRef::Bytes(it) = value { Some(it.to_owned()) } else { None }
    }
}

impl<const N: usize> FromRow for [u8; N] {
    const EXPECTS: &'static str = "bytes of a fixed length";

    fn from_value(value: ValueRef<'_>) -> Option<Self> {
        if let ValueRef::Bytes(it) = value { it.try_into().ok() } else { None }
    }
}

impl FromRow for Value {
    const EXPECTS: &'static str = "a value";

    fn from_value(value: ValueRef<'_>) -> Option<Self> {
        Some(value.into())
    }
}

impl<T: FromRow> FromRow for Option<T> {
    const EXPECTS: &'static str = T::EXPECTS;

    fn from_value(value: ValueRef<'_>) -> Option<Self> {
        if value == ValueRef::Null { Some(None) } else { T::from_value(value).map(Some) }
    }
}

/// A statement made at run time, with the placeholders of its engine: `?` or `?1` on SQLite, `$1`
/// on PostgreSQL. It is not translated.
#[derive(Clone, Debug)]
pub struct Built {
    /// The text.
    pub sql: String,
    /// The values, in the order of the placeholders.
    pub values: Vec<Value>,
}

/// Whether [`Db::each`](crate::Db::each) goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// With the next row.
    Continue,
    /// No more rows, please.
    Stop,
}

/// A text with a NUL cannot be stored on PostgreSQL, so neither engine takes one.
pub(crate) fn check(values: &[ValueRef<'_>]) -> Result<()> {
    let nul =
        values.iter().any(|it| matches!(it, ValueRef::Text(text) if text.as_bytes().contains(&0)));
    if nul { Err(crate::Error::NotUtf8) } else { Ok(()) }
}
