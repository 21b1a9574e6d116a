//! What can be wrong with a text, and where.

use std::fmt;

use crate::functions::Function;
use crate::tree::At;

/// Why a text was refused: what is wrong, and at which character.
///
/// `Display` says both, in words; whoever answers puts the prefix of D:3.8 before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// Where it was noticed.
    pub at: At,
    /// What is wrong.
    pub what: What,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// There is nothing but white space. "No condition" is for the caller to notice beforehand.
    Empty,
    /// More bytes than [`Limits::bytes`](crate::Limits::bytes).
    TooLong(usize),
    /// Nested deeper than [`Limits::depth`](crate::Limits::depth).
    TooDeep(usize),
    /// More comparisons and other tests than [`Limits::conditions`](crate::Limits::conditions).
    TooManyConditions(usize),
    /// More values, columns and calls than [`Limits::terms`](crate::Limits::terms).
    TooManyTerms(usize),
    /// A list with more entries than [`Limits::items`](crate::Limits::items).
    TooManyItems(usize),
    /// A path over more relations than [`Limits::steps`](crate::Limits::steps).
    TooManySteps(usize),
    /// A character that no word or sign of the language begins with.
    Character(char),
    /// A text without its closing quote.
    OpenText,
    /// A name without its closing back-tick.
    OpenName,
    /// Two back-ticks with nothing between them.
    EmptyName,
    /// Digits that are no number, or one too large.
    Number,
    /// A text after `->` that is no JSON path.
    JsonPath,
    /// Something else belongs here.
    Expected {
        /// What may stand here, in words.
        wanted: &'static str,
        /// What stands here, cut to a readable length.
        found: String,
    },
    /// A condition stands where a value is needed: `(a = 1) + 2`.
    ConditionAsValue,
    /// There is no such function.
    UnknownFunction(String),
    /// A function with too few or too many arguments.
    Arguments(Function),
    /// An aggregate where none may be: in a `where`, in a sort, inside another aggregate.
    Aggregate,
}

impl Error {
    pub(crate) fn new(at: At, what: What) -> Self {
        Self { at, what }
    }

    /// The number of characters before the place, for programs. People are shown one more.
    pub fn offset(&self) -> u32 {
        self.at.0
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (position {})", self.what, u64::from(self.at.0) + 1)
    }
}

impl std::error::Error for Error {}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "it is empty"),
            Self::TooLong(most) => write!(f, "it is longer than {most} bytes"),
            Self::TooDeep(most) => write!(f, "it is nested more than {most} deep"),
            Self::TooManyConditions(most) => write!(f, "it has more than {most} conditions"),
            Self::TooManyTerms(most) => write!(f, "it has more than {most} values and columns"),
            Self::TooManyItems(most) => write!(f, "a list has more than {most} entries"),
            Self::TooManySteps(most) => write!(f, "a path leads over more than {most} relations"),
            Self::Character(it) => write!(f, "the character {it:?} has no meaning here"),
            Self::OpenText => write!(f, "a text is not closed: its second quote is missing"),
            Self::OpenName => write!(f, "a name is not closed: its second back-tick is missing"),
            Self::EmptyName => write!(f, "there is no name between the back-ticks"),
            Self::Number => write!(f, "this is not a number, or it is too large"),
            Self::JsonPath => write!(f, "this is not a JSON path such as '$.address.city'"),
            Self::Expected { wanted, found } => write!(f, "expected {wanted}, found {found}"),
            Self::ConditionAsValue => {
                write!(f, "a condition cannot be compared, listed or calculated with")
            }
            Self::UnknownFunction(name) => write!(f, "there is no function {name}"),
            Self::Arguments(function) => {
                write!(f, "{} takes {}", function.name(), function.arguments())
            }
            Self::Aggregate => write!(f, "Avg, Count, Sum, Min and Max cannot be used here"),
        }
    }
}
