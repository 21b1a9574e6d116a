//! Tables and columns of an application, as one request sees them: an immutable snapshot.
//!
//! **Invariant:** a name from a request is a key into [`Schema`]; the physical names that reach SQL
//! come out of it and from nowhere else.

pub mod identity;
pub mod names;
pub mod patterns;
pub mod record;
pub mod validators;
pub mod values;
pub mod wish;

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use validators::{Checks, Chosen};

/// The table of users. It is there in every application and cannot be dropped.
pub const USERS: &str = "Users";

/// The column that takes a password. It has no physical column: what is stored is a hash, in a
/// table that no query can name.
pub const PASSWORD: &str = "password";

/// All tables of an application, at one version.
#[derive(Debug, Default)]
pub struct Schema {
    /// Grows with every change of a table or column.
    pub version: i64,
    tables: HashMap<Arc<str>, Arc<Table>>,
}

impl Schema {
    /// A snapshot of these tables.
    pub fn new(version: i64, tables: Vec<Table>) -> Self {
        let tables = tables.into_iter().map(|it| (it.name.clone(), Arc::new(it))).collect();
        Self { version, tables }
    }

    /// The table of that name, compared exactly.
    pub fn table(&self, name: &str) -> Option<&Arc<Table>> {
        self.tables.get(name)
    }

    /// All tables, in no order.
    pub fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.tables.values()
    }
}

/// One table.
#[derive(Clone, Debug)]
pub struct Table {
    /// Opaque, for the Console.
    pub id: String,
    /// Its name on the wire.
    pub name: Arc<str>,
    /// Its name in the database.
    pub physical: String,
    /// Its columns, in the order in which they came.
    pub columns: Vec<Column>,
}

impl Table {
    /// The column of that name, compared exactly.
    pub fn column(&self, name: &str) -> Option<&Column> {
        self.columns.iter().find(|it| it.name == name)
    }

    /// Whether an answer may show the column: all but the password of users.
    pub fn shows(&self, column: &Column) -> bool {
        !(self.is_users() && column.name == PASSWORD)
    }

    /// The place of a column that clients may name in a query: one that answers show. Any other is
    /// not there for them.
    pub fn shown(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|it| it.name == name && self.shows(it))
    }

    /// The column that users log in with; `None` in any table but `Users`.
    pub fn identity(&self) -> Option<&Column> {
        self.columns.iter().find(|it| it.identity)
    }

    /// Whether what was checked against `checked` may be written into this table: each column of
    /// before asks for the same, and no new one asks for anything.
    pub fn takes_what_fits(&self, checked: &Self) -> bool {
        let same = |new: &Column| {
            let old = checked.columns.iter().find(|it| it.id == new.id);
            old.map_or_else(|| new.asks_for_nothing(), |old| old.asks_for_the_same(new))
        };
        let there = |old: &Column| self.columns.iter().any(|it| it.id == old.id);
        (&self.id, &self.physical) == (&checked.id, &checked.physical)
            && self.columns.iter().all(same)
            && checked.columns.iter().all(there)
    }

    /// Whether this is the table of users.
    pub fn is_users(&self) -> bool {
        &*self.name == USERS
    }
}

/// One column.
#[derive(Clone, Debug)]
pub struct Column {
    /// Opaque, for the Console.
    pub id: String,
    /// Its name on the wire.
    pub name: String,
    /// Its name in the database.
    pub physical: String,
    /// What it holds.
    pub kind: Kind,
    /// The most characters of a text.
    pub size: Option<u32>,
    /// What a value must be and where it counts.
    pub rules: Rules,
    /// Whether users log in with it.
    pub identity: bool,
    /// The value of an object that comes without one.
    pub default: Option<Value>,
    /// An owner's expression that the whole value must match.
    pub custom_regex: Option<String>,
    /// A ready-made validator.
    pub validator: Option<Chosen>,
    /// Both of them, made ready at the first value.
    pub checks: Checks,
    /// Whose it is.
    pub maker: Maker,
}

impl Column {
    /// A column without rules, which is in no table yet.
    pub fn blank(name: &str, kind: Kind, maker: Maker) -> Self {
        Self {
            id: String::new(),
            name: name.to_owned(),
            physical: String::new(),
            kind,
            size: kind.size(),
            rules: Rules::default(),
            identity: false,
            default: None,
            custom_regex: None,
            validator: None,
            checks: Checks::default(),
            maker,
        }
    }

    fn asks_for_nothing(&self) -> bool {
        !self.rules.required && !self.identity && self.default.is_none()
    }

    fn asks_for_the_same(&self, other: &Self) -> bool {
        (self.identity, self.maker) == (other.identity, other.maker)
            && (self.kind, self.size, self.rules) == (other.kind, other.size, other.rules)
            && (&self.name, &self.physical) == (&other.name, &other.physical)
            && (&self.default, &self.custom_regex) == (&other.default, &other.custom_regex)
            && self.validator == other.validator
    }
}

/// What the values of a column must be, beside their type.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// An object without a value is refused.
    pub required: bool,
    /// No two objects have the same value.
    pub unique: bool,
    /// Searches by it are quick.
    pub indexed: bool,
}

/// Who made a column, and so who may write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maker {
    /// The server: clients cannot write it.
    System,
    /// The server, but clients write it: `email`, `name`, `password`, `blUserLocale`.
    Preset,
    /// A developer.
    Developer,
    /// A client, by sending a property that was not there.
    Client,
}

impl Maker {
    /// The word in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Preset => "preset",
            Self::Developer => "developer",
            Self::Client => "client",
        }
    }

    /// The maker of that word.
    pub fn parse(text: &str) -> Self {
        let all = [Self::System, Self::Preset, Self::Developer];
        all.into_iter().find(|it| it.as_str() == text).unwrap_or(Self::Client)
    }
}

/// What a column holds (users-api 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An object's id.
    StringId,
    /// A text of at most 500 characters.
    String,
    /// A text of at most 21,000 characters.
    Text,
    /// The address of a file.
    FileRef,
    /// A whole number within ±(2⁵³−1).
    Int,
    /// A number.
    Double,
    /// True or false.
    Boolean,
    /// An instant, in milliseconds.
    DateTime,
    /// Any JSON.
    Json,
}

/// The longest STRING, in characters.
pub const STRING_SIZE: u32 = 500;
/// The longest TEXT, in characters.
pub const TEXT_SIZE: u32 = 21_000;

const KINDS: &[(Kind, &str)] = &[
    (Kind::StringId, "STRING_ID"),
    (Kind::String, "STRING"),
    (Kind::Text, "TEXT"),
    (Kind::FileRef, "FILE_REF"),
    (Kind::Int, "INT"),
    (Kind::Double, "DOUBLE"),
    (Kind::Boolean, "BOOLEAN"),
    (Kind::DateTime, "DATETIME"),
    (Kind::Json, "JSON"),
];

impl Kind {
    /// The word on the wire and in the store.
    pub fn as_str(self) -> &'static str {
        KINDS.iter().find(|it| it.0 == self).map_or("UNKNOWN", |it| it.1)
    }

    /// The kind of that word.
    pub fn parse(text: &str) -> Option<Self> {
        KINDS.iter().find(|it| it.1 == text).map(|it| it.0)
    }

    /// What a new column becomes when a client sends `value` for it (users-api 5.3). `None` for
    /// `null`, and for an object with a class: relations are made by developers.
    pub fn guess(value: &Value) -> Option<Self> {
        match value {
            Value::Null => None,
            Value::Bool(_) => Some(Self::Boolean),
            Value::Number(_) => Some(Self::Double),
            Value::String(text) if text.chars().count() <= STRING_SIZE as usize => {
                Some(Self::String)
            }
            Value::String(_) => Some(Self::Text),
            Value::Object(map) if map.contains_key("___class") => None,
            Value::Array(_) | Value::Object(_) => Some(Self::Json),
        }
    }

    /// Whether it is one of the kinds of text.
    pub fn is_text(self) -> bool {
        matches!(self, Self::StringId | Self::String | Self::Text | Self::FileRef)
    }

    /// The size of a new column of this kind.
    pub fn size(self) -> Option<u32> {
        match self {
            Self::StringId => Some(64),
            Self::String | Self::FileRef => Some(STRING_SIZE),
            Self::Text => Some(TEXT_SIZE),
            _ => None,
        }
    }

    /// How the engines store it.
    pub fn stored(self) -> engine::Kind {
        match self {
            Self::StringId | Self::String | Self::Text | Self::FileRef => engine::Kind::Text,
            Self::Int => engine::Kind::Int,
            Self::Double => engine::Kind::Double,
            Self::Boolean => engine::Kind::Bool,
            Self::DateTime => engine::Kind::Time,
            Self::Json => engine::Kind::Json,
        }
    }
}

/// A column that is about to be made.
#[derive(Clone, Debug, PartialEq)]
pub struct NewColumn {
    /// Its name on the wire.
    pub name: String,
    /// What it will hold.
    pub kind: Kind,
    /// The most characters of a text.
    pub size: Option<u32>,
    /// Whether a value is needed and counts once.
    pub rules: Rules,
    /// Whether users log in with it.
    pub identity: bool,
    /// The value of an object that comes without one.
    pub default: Option<Value>,
    /// An owner's expression that the whole value must match.
    pub custom_regex: Option<String>,
    /// A ready-made validator.
    pub validator: Option<Chosen>,
    /// Whose it is.
    pub maker: Maker,
}

impl NewColumn {
    /// A column without rules.
    pub fn plain(name: String, kind: Kind, maker: Maker) -> Self {
        Self {
            name,
            kind,
            size: kind.size(),
            rules: Rules::default(),
            identity: false,
            default: None,
            custom_regex: None,
            validator: None,
            maker,
        }
    }
}

/// The columns of every new table.
pub fn common_columns() -> Vec<NewColumn> {
    let column = |name: &str, kind| NewColumn::plain(name.to_owned(), kind, Maker::System);
    vec![
        NewColumn {
            rules: Rules { required: false, unique: true, indexed: true },
            ..column("objectId", Kind::StringId)
        },
        column("ownerId", Kind::String),
        column("created", Kind::DateTime),
        column("updated", Kind::DateTime),
    ]
}

/// The columns of a new table of users (users-api 1.6).
pub fn user_columns() -> Vec<NewColumn> {
    let column = |name: &str, kind, maker| NewColumn::plain(name.to_owned(), kind, maker);
    let mut columns = common_columns();
    columns.extend([
        NewColumn {
            rules: Rules { required: true, unique: true, indexed: true },
            identity: true,
            ..column("email", Kind::String, Maker::Preset)
        },
        NewColumn {
            rules: Rules { required: true, unique: false, indexed: false },
            ..column(PASSWORD, Kind::String, Maker::Preset)
        },
        column("name", Kind::String, Maker::Preset),
        column("userStatus", Kind::String, Maker::System),
        column("lastLogin", Kind::DateTime, Maker::System),
        column("accountType", Kind::String, Maker::System),
        column("socialAccount", Kind::String, Maker::System),
        column("oAuthIdentities", Kind::Json, Maker::System),
        column("blUserLocale", Kind::String, Maker::Preset),
    ]);
    columns
}
