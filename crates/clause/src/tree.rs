//! The typed tree: what a text means, and where each part of it stands.

use std::fmt;

use crate::functions::{Aggregate, Function, Shift, Unit};
use crate::json_path::JsonPath;
use crate::lex::{Kind, Lexer};

/// A place in the text: how many characters (Unicode scalar values, not bytes) stand before it.
///
/// All places are equal: two trees are equal when they mean the same, wherever their parts stood.
#[derive(Clone, Copy, Default)]
pub struct At(pub u32);

impl PartialEq for At {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for At {}

impl fmt::Debug for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "@{}", self.0)
    }
}

/// A condition, read: what `where` and `having` become.
#[derive(Debug, Clone, PartialEq)]
pub struct Clause {
    /// The root of the tree.
    pub condition: Condition,
}

/// Something that is true or not for a row (in `having`: for a group of rows).
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// Where its first word stands; parentheses around it do not count.
    pub at: At,
    /// What is asked.
    pub test: Test,
}

/// What a [`Condition`] asks.
#[derive(Debug, Clone, PartialEq)]
pub enum Test {
    /// One of these, two or more.
    Or(Vec<Condition>),
    /// All of these, two or more.
    And(Vec<Condition>),
    /// Not this.
    Not(Box<Condition>),
    /// Two values, compared. Neither is NULL when it is about being equal: that is [`Test::IsNull`].
    Compare {
        /// How.
        comparison: Comparison,
        /// The value before the sign.
        left: Operand,
        /// The value after the sign.
        right: Operand,
    },
    /// `LIKE` and `NOT LIKE`; [`Wild`](crate::Wild) reads a pattern.
    Like {
        /// Whether it says `NOT`.
        negated: bool,
        /// The value.
        operand: Operand,
        /// The pattern.
        pattern: Operand,
    },
    /// `IN` and `NOT IN`.
    In {
        /// Whether it says `NOT`.
        negated: bool,
        /// The value.
        operand: Operand,
        /// What it is looked for in.
        among: Among,
    },
    /// `BETWEEN` and `NOT BETWEEN`; both ends belong to it.
    Between {
        /// Whether it says `NOT`.
        negated: bool,
        /// The value.
        operand: Operand,
        /// The lower end.
        low: Operand,
        /// The upper end.
        high: Operand,
    },
    /// `IS NULL`, `IS NOT NULL`, and also `= NULL` and `!= NULL` (D:3.5).
    IsNull {
        /// Whether it says `NOT`.
        negated: bool,
        /// The value.
        operand: Operand,
    },
    /// A boolean column or function on its own.
    Truth(Operand),
}

/// What the value before `IN` is looked for in.
#[derive(Debug, Clone, PartialEq)]
pub enum Among {
    /// These values, maybe none: then nothing matches.
    List(Vec<Operand>),
    /// A column of the rows of another table.
    Query(Box<Subquery>),
}

/// `Team[name = 'Core'].members.objectId`: a column of those rows of a table that meet a condition.
#[derive(Debug, Clone, PartialEq)]
pub struct Subquery {
    /// The table.
    pub table: Name,
    /// The condition in brackets, over that table; without brackets, every row.
    pub condition: Option<Condition>,
    /// The column, from that table on.
    pub path: Path,
}

/// How two values are compared. The date words compare as times, whatever the two sides look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `!=` and `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=` and `=<`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=` and `=>`
    GreaterOrEqual,
    /// `before`
    Before,
    /// `at or before`
    AtOrBefore,
    /// `after`
    After,
    /// `at or after`
    AtOrAfter,
}

impl Comparison {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Equal,
        Self::NotEqual,
        Self::Less,
        Self::LessOrEqual,
        Self::Greater,
        Self::GreaterOrEqual,
        Self::Before,
        Self::AtOrBefore,
        Self::After,
        Self::AtOrAfter,
    ];

    /// Whether it is one of the date words.
    pub fn is_of_dates(self) -> bool {
        matches!(self, Self::Before | Self::AtOrBefore | Self::After | Self::AtOrAfter)
    }

    /// The sign with the same meaning: `>` for `after`.
    #[must_use]
    pub fn sign(self) -> Self {
        match self {
            Self::Before => Self::Less,
            Self::AtOrBefore => Self::LessOrEqual,
            Self::After => Self::Greater,
            Self::AtOrAfter => Self::GreaterOrEqual,
            sign => sign,
        }
    }
}

/// Something that has a value.
#[derive(Debug, Clone, PartialEq)]
pub struct Operand {
    /// Where its first word or sign stands; parentheses around it do not count.
    pub at: At,
    /// What it is.
    pub term: Term,
}

/// What an [`Operand`] is.
#[derive(Debug, Clone, PartialEq)]
pub enum Term {
    /// A value that the text gives.
    Literal(Literal),
    /// A value that [`Split`](crate::Split) has taken out.
    Parameter(Parameter),
    /// A column, of the table itself or over relations.
    Column(Path),
    /// `profile->'$.address.city'`: a part of a JSON column.
    Json(Path, JsonPath),
    /// `Team[members].name`: a column of the rows that point here.
    Inverse(Box<Inverse>),
    /// A function of values.
    Call(Function, Vec<Operand>),
    /// `DATEADD` and `DATESUB`.
    Shifted {
        /// Forward or back.
        shift: Shift,
        /// From when.
        from: Box<Operand>,
        /// How many.
        amount: Box<Operand>,
        /// Of what.
        unit: Unit,
    },
    /// A function of the values of many rows.
    Aggregate(Aggregate, Box<Operand>),
    /// `a + b - c`, from left to right; one `rest` or more.
    Sum {
        /// The first value.
        first: Box<Operand>,
        /// What is added and subtracted.
        rest: Vec<(Add, Operand)>,
    },
    /// `a * b / c % d`, from left to right; one `rest` or more.
    Product {
        /// The first value.
        first: Box<Operand>,
        /// What it is multiplied with and divided by.
        rest: Vec<(Multiply, Operand)>,
    },
    /// `-a`; a negative number is a literal.
    Negated(Box<Operand>),
    /// `CASE WHEN … THEN … ELSE … END`.
    Case {
        /// The first condition that is true decides; one or more.
        when: Vec<(Condition, Operand)>,
        /// The value when none is; absent: NULL.
        otherwise: Option<Box<Operand>>,
    },
}

/// A sign of sums.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Add {
    /// `+`
    Plus,
    /// `-`
    Minus,
}

/// A sign of products.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Multiply {
    /// `*`
    Times,
    /// `/`
    Over,
    /// `%`, the remainder.
    Modulo,
}

/// A value that the text gives. What type it has to fit, the column on the other side decides
/// (D:3.4): so a date is a text or a number here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Literal {
    /// A text, without its quotes.
    Text(String),
    /// A number.
    Number(Number),
    /// `true` or `false`.
    Bool(bool),
    /// `null`
    Null,
}

/// A number as it was written: text columns compare it as text, and decimals need all its digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Number(String);

impl Number {
    /// A number of this text, such as `12`, `-3.5` or `1e6`; `None` if it is none, or infinite.
    pub fn new(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        let whole = Lexer::new(digits).token().kind == Kind::Number(digits);
        let finite = text.parse::<f64>().is_ok_and(f64::is_finite);
        (whole && finite).then(|| Self(text.to_owned()))
    }

    /// How it was written.
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The whole number, if it is written as one and fits.
    pub fn int(&self) -> Option<i64> {
        self.0.parse().ok()
    }

    /// The nearest floating-point number; finite.
    pub fn double(&self) -> f64 {
        self.0.parse().unwrap_or_default()
    }
}

/// The place of a value that was taken out: the number in the list of values, and what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Parameter {
    /// Its index in the list of values.
    pub index: usize,
    /// What kind of literal stood here.
    pub kind: LiteralKind,
}

/// The kinds of literals that can be taken out of a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LiteralKind {
    /// [`Literal::Text`]
    Text,
    /// [`Literal::Number`]
    Number,
    /// [`Literal::Bool`]
    Bool,
}

/// A column, and the relations that lead to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// The relation columns, from the table of the query on; mostly none.
    pub steps: Vec<Name>,
    /// The column at the end.
    pub column: Name,
}

/// `Team[members].name`: from a row to those that have it in a relation column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inverse {
    /// The table that has the relation column.
    pub table: Name,
    /// The relation column.
    pub relation: Name,
    /// The column, from that table on.
    pub path: Path,
}

/// A name of a table, column or answer, as it was written, without back-ticks. It has at least one
/// character and no back-tick.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Where it stands.
    pub at: At,
    /// The name.
    pub text: String,
}

/// Entries of a list that were separated by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct List<T>(pub Vec<T>);

/// An entry of `props` and `property`.
#[derive(Debug, Clone, PartialEq)]
pub enum Property {
    /// `*`: all columns.
    All(At),
    /// A column or what is calculated of columns.
    One {
        /// What is asked for.
        operand: Operand,
        /// The name after `as`.
        alias: Option<Name>,
    },
}

/// An entry of `sortBy`.
#[derive(Debug, Clone, PartialEq)]
pub struct Sort {
    /// What the rows are sorted by.
    pub operand: Operand,
    /// In which direction.
    pub order: Order,
}

/// A direction of sorting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Order {
    /// Smallest first.
    Ascending,
    /// Largest first.
    Descending,
}

/// An entry of `loadRelations`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Relation {
    /// `*`: every relation column of the table.
    All(At),
    /// A relation column, or a chain of them.
    Path(Path),
}
