//! Values on PostgreSQL's wire, in the binary form where we know it.

use std::error::Error as StdError;
use std::fmt::{self, Write as _};

use tokio_postgres::Row;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{Format, FromSql, IsNull, ToSql, Type};

use super::error::Mismatch;
use crate::error::{Error, Result};
use crate::value::ValueRef;

type Boxed = Box<dyn StdError + Sync + Send>;

/// From 1970, where our times begin, to 2000, where PostgreSQL's do.
const EPOCH_MILLIS: i64 = 946_684_800_000;

/// A parameter.
pub(crate) struct Param<'v>(pub(crate) ValueRef<'v>);

impl fmt::Debug for Param<'_> {
    /// tokio-postgres writes parameters into its debug log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[value]")
    }
}

impl ToSql for Param<'_> {
    #[expect(clippy::cast_precision_loss, reason = "a whole number goes into a column of numbers")]
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Boxed> {
        match (self.0, ty) {
            (ValueRef::Null, _) => return Ok(IsNull::Yes),
            (ValueRef::Bool(it), &Type::BOOL) => out.extend_from_slice(&[it.into()]),
            (ValueRef::Bool(it), _) if is_whole(ty) => put_whole(it.into(), ty, out)?,
            (ValueRef::Int(it), _) if is_whole(ty) => put_whole(it, ty, out)?,
            (ValueRef::Int(it @ (0 | 1)), &Type::BOOL) => {
                out.extend_from_slice(&[u8::from(it == 1)]);
            }
            (ValueRef::Int(it), &Type::FLOAT8) => out.extend_from_slice(&(it as f64).to_be_bytes()),
            (ValueRef::Real(it), &Type::FLOAT8) => out.extend_from_slice(&it.to_be_bytes()),
            (ValueRef::Real(it), _) if is_whole(ty) => put_whole(whole(it)?, ty, out)?,
            (ValueRef::Text(it), &Type::JSONB) => {
                out.extend_from_slice(&[1]); // the version of the form
                out.extend_from_slice(it.as_bytes());
            }
            (ValueRef::Text(it), _) if is_text(ty) => out.extend_from_slice(it.as_bytes()),
            (ValueRef::Bytes(it), &Type::BYTEA) => out.extend_from_slice(it),
            // What follows goes in the text form, which the server reads as it reads a literal.
            (ValueRef::Text(it), _) if !is_known(ty) => out.extend_from_slice(it.as_bytes()),
            (ValueRef::Int(it), _) if !is_known(ty) => {
                out.extend_from_slice(it.to_string().as_bytes());
            }
            (ValueRef::Real(it), _) if !is_known(ty) => {
                out.extend_from_slice(it.to_string().as_bytes());
            }
            (value, ty) => return Err(mismatch(value.kind(), ty)),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Boxed> {
        self.to_sql(ty, out)
    }

    fn encode_format(&self, ty: &Type) -> Format {
        if is_known(ty) { Format::Binary } else { Format::Text }
    }
}

/// Types of which we write the binary form.
fn is_known(ty: &Type) -> bool {
    is_whole(ty) || is_text(ty) || [Type::BOOL, Type::FLOAT8, Type::JSONB, Type::BYTEA].contains(ty)
}

fn is_whole(ty: &Type) -> bool {
    [Type::INT8, Type::INT4, Type::INT2].contains(ty)
}

fn is_text(ty: &Type) -> bool {
    [Type::TEXT, Type::VARCHAR, Type::BPCHAR, Type::NAME, Type::UNKNOWN, Type::JSON].contains(ty)
}

fn put_whole(value: i64, ty: &Type, out: &mut BytesMut) -> Result<(), Boxed> {
    let large = |_| mismatch("a larger number", ty);
    match *ty {
        Type::INT2 => out.extend_from_slice(&i16::try_from(value).map_err(large)?.to_be_bytes()),
        Type::INT4 => out.extend_from_slice(&i32::try_from(value).map_err(large)?.to_be_bytes()),
        _ => out.extend_from_slice(&value.to_be_bytes()),
    }
    Ok(())
}

/// A number without a fraction, as SQLite takes it for a whole one.
#[expect(clippy::cast_possible_truncation, reason = "the range is checked")]
fn whole(value: f64) -> Result<i64, Boxed> {
    const LIMIT: f64 = 9_007_199_254_740_992.0; // up to here every whole number is exact
    if value.fract() == 0.0 && value.abs() <= LIMIT {
        Ok(value as i64)
    } else {
        Err(mismatch("a number with a fraction", &Type::INT8))
    }
}

fn mismatch(found: &str, ty: &Type) -> Boxed {
    let expected = match *ty {
        Type::BOOL => "a boolean",
        Type::INT2 | Type::INT4 | Type::INT8 => "a whole number that fits",
        Type::FLOAT4 | Type::FLOAT8 => "a number",
        Type::BYTEA => "bytes",
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME => "a text",
        Type::JSON | Type::JSONB => "a JSON text",
        _ => "of the type that the statement wants",
    };
    Box::new(Mismatch { expected, found: found.to_owned() })
}

/// The value of a column that exists.
pub(crate) fn value_at(row: &Row, index: usize) -> Result<ValueRef<'_>> {
    row.try_get::<_, Found<'_>>(index).map(|it| it.0).map_err(|error| {
        let source = error.into_source().and_then(|it| it.downcast::<Mismatch>().ok());
        source.map_or(Error::NotUtf8, |it| Error::Type {
            column: row.columns().get(index).map_or("", |it| it.name()).to_owned(),
            expected: it.expected,
            found: it.found,
        })
    })
}

struct Found<'r>(ValueRef<'r>);

impl<'r> FromSql<'r> for Found<'r> {
    fn from_sql(ty: &Type, raw: &'r [u8]) -> Result<Self, Boxed> {
        Ok(Self(match *ty {
            Type::BOOL => ValueRef::Bool(raw != [0]),
            Type::INT8 => ValueRef::Int(i64::from_be_bytes(raw.try_into()?)),
            Type::INT4 => ValueRef::Int(i32::from_be_bytes(raw.try_into()?).into()),
            Type::INT2 => ValueRef::Int(i16::from_be_bytes(raw.try_into()?).into()),
            Type::OID | Type::XID => ValueRef::Int(u32::from_be_bytes(raw.try_into()?).into()),
            Type::XID8 => ValueRef::Int(
                i64::try_from(u64::from_be_bytes(raw.try_into()?)).unwrap_or(i64::MAX),
            ),
            Type::FLOAT8 => ValueRef::Real(f64::from_be_bytes(raw.try_into()?)),
            Type::FLOAT4 => ValueRef::Real(f32::from_be_bytes(raw.try_into()?).into()),
            Type::NUMERIC => numeric(raw)?,
            Type::TIMESTAMPTZ | Type::TIMESTAMP => {
                let micros = i64::from_be_bytes(raw.try_into()?);
                ValueRef::Int(micros.div_euclid(1000).saturating_add(EPOCH_MILLIS))
            }
            Type::BYTEA => ValueRef::Bytes(raw),
            Type::JSONB => ValueRef::Text(str::from_utf8(raw.get(1..).unwrap_or_default())?),
            Type::VOID => ValueRef::Null,
            _ if is_text(ty) => ValueRef::Text(str::from_utf8(raw)?),
            _ => {
                let expected = "of a type that can be read. Cast it to text";
                return Err(Box::new(Mismatch { expected, found: ty.name().to_owned() }));
            }
        }))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Boxed> {
        Ok(Self(ValueRef::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// A decimal number: of sums of whole numbers a whole one, else the nearest number.
fn numeric<'r>(raw: &[u8]) -> Result<ValueRef<'r>, Boxed> {
    let words: Vec<u16> =
        raw.chunks_exact(2).map(|it| u16::from_be_bytes([it[0], it[1]])).collect();
    let [_, weight, sign, scale, digits @ ..] = words.as_slice() else {
        return Err(mismatch("a broken decimal", &Type::NUMERIC));
    };
    // The digits count by ten thousands; the first one's power is the weight.
    let weight = i32::from(weight.cast_signed());
    let sign = match sign {
        0x0000 => "",
        0x4000 => "-",
        0xd000 => return Ok(ValueRef::Real(f64::INFINITY)),
        0xf000 => return Ok(ValueRef::Real(f64::NEG_INFINITY)),
        _ => return Ok(ValueRef::Real(f64::NAN)),
    };
    let mut text = sign.to_owned();
    for power in (weight.min(0)..=weight.max(0)).rev() {
        let digit = usize::try_from(weight - power).ok().and_then(|it| digits.get(it));
        if power >= 0 {
            let _ = write!(text, "{:04}", digit.copied().unwrap_or(0));
        }
    }
    if *scale == 0
        && let Ok(whole) = text.parse()
    {
        return Ok(ValueRef::Int(whole));
    }
    text.push('.');
    // After a weight below -1 come zeros that are not sent.
    (0..(-1 - weight).max(0)).for_each(|_| text.push_str("0000"));
    let fraction = usize::try_from(weight + 1).unwrap_or(0);
    for digit in digits.iter().skip(fraction) {
        let _ = write!(text, "{digit:04}");
    }
    Ok(ValueRef::Real(text.parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(weight: i16, sign: u16, scale: u16, digits: &[u16]) -> ValueRef<'static> {
        let count = u16::try_from(digits.len()).unwrap();
        let head = [count, weight.cast_unsigned(), sign, scale];
        let raw: Vec<u8> = head.iter().chain(digits).flat_map(|it| it.to_be_bytes()).collect();
        numeric(&raw).unwrap()
    }

    #[test]
    fn decimals_are_read() {
        for (found, expected) in [
            (decimal(0, 0, 0, &[]), ValueRef::Int(0)),
            (decimal(0, 0, 0, &[7]), ValueRef::Int(7)),
            (decimal(1, 0x4000, 0, &[12, 345]), ValueRef::Int(-120_345)),
            (decimal(2, 0, 0, &[1]), ValueRef::Int(100_000_000)),
            (decimal(0, 0, 16, &[2]), ValueRef::Real(2.0)),
            (decimal(0, 0, 2, &[3, 1500]), ValueRef::Real(3.15)),
            (decimal(-1, 0, 4, &[25]), ValueRef::Real(0.0025)),
            (decimal(-2, 0x4000, 8, &[5]), ValueRef::Real(-0.000_000_05)),
            (decimal(5, 0, 0, &[1]), ValueRef::Real(1e20)),
        ] {
            assert_eq!(found, expected);
        }
        assert!(numeric(&[0, 1]).is_err());
    }
}
