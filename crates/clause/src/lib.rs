//! The where language: text of a client in, a typed tree out.
//!
//! It is pure: it knows neither tables nor SQL. Whether a column exists, what type it has and who
//! may read it is for the one who walks the tree; here is only what the text says, and where.
//! The language is that of D:3, the lists beside it those of D:2.4 to 2.6.
//!
//! ```ignore
//! let mut clause = clause::parse("age >= 18 and name like 'A%'", &Limits::default())?;
//! let mut values = Vec::new();
//! clause.split(&mut values); // the tree is now a shape: `age >= ?number and name like ?text`
//! ```
//!
//! Every node has its place, as the number of characters before it ([`At`]); the words of an
//! [`Error`] count from 1, as people do. Codes and the texts before those words are the server's:
//! D:3.8 has `Invalid where clause: ` and `Invalid having clause: `. Printing a tree (`Display`)
//! gives a canonical text that reads as the same tree.
//!
//! # No input hurts
//!
//! [`Limits`] bound length, nesting and counts. Recursion ends at [`Limits::depth`], every
//! character is looked at once, nothing is tried twice: time and memory grow with the length alone.
//!
//! # What the specification leaves open
//!
//! - A parenthesis is read once, as whatever it holds: `(a or b)` is a condition, `(a + b) * 2` a
//!   value, and `(active)` becomes a condition only where one is needed.
//! - `AND OR NOT LIKE IN BETWEEN IS NULL TRUE FALSE AS` are names only in back-ticks, after a dot
//!   or after `as`. All other words are names wherever a name can stand: columns `end`, `at` and
//!   `desc` need no back-ticks.
//! - `= NULL` and `!= NULL` are read as `IS NULL` and `IS NOT NULL`, `NULL = x` too.
//! - `CASE` needs a `WHEN`; without one, `case` is a column.
//! - `DATEADD` and `DATESUB`: `(date, amount, 'day')`, and as in SQL `(date, INTERVAL amount DAY)`.
//! - In the parentheses of `IN`, `Table.column` alone is a subquery and `((relation.column))` a
//!   list with one value. `IN ()` is an empty list.
//! - A date is a text or a number in the tree, because the column decides; [`date()`] reads the
//!   texts. `MM-dd-yyyy` comes before `dd-MM-yyyy`, and of the names of zones those of the United
//!   States are known, which Java writes.
//! - A number cannot begin or end with a dot; `-5` is a number and `-(5)` a calculation.
//! - JSON paths have keys and indexes, no wildcards.
//! - A NUL character is refused wherever it stands: PostgreSQL's texts cannot hold it.
//! - Functions outside of D:3.7 are refused, and so is a wrong number of arguments. Aggregates are
//!   for `props` and `having`, not inside each other.
//! - A text without any word is refused. Whether "no condition" means all rows is the caller's to
//!   say, and for bulk calls it does not (D:2.8).

mod cursor;
mod date;
mod error;
mod functions;
mod json_path;
mod lex;
mod lists;
mod parse;
mod print;
mod split;
mod terms;
mod tree;
mod wild;

pub use date::date;
pub use error::{Error, What};
pub use functions::{Aggregate, Function, Shift, Unit};
pub use json_path::{JsonPath, JsonStep};
pub use lists::{columns, group, props, relations, sort};
pub use split::{Split, Value};
pub use tree::{
    Add, Among, At, Clause, Comparison, Condition, Inverse, List, Literal, LiteralKind, Multiply,
    Name, Number, Operand, Order, Parameter, Path, Property, Relation, Sort, Subquery, Term, Test,
};
pub use wild::Wild;

use cursor::Parser;

/// How much a text may ask for (S:L-4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Length of the text.
    pub bytes: usize,
    /// Nesting: parentheses, brackets, functions, `CASE`, `NOT` and signs inside each other.
    pub depth: usize,
    /// Comparisons and other tests.
    pub conditions: usize,
    /// Values, columns, calls and calculations.
    pub terms: usize,
    /// Entries of one list, one `IN` or one function.
    pub items: usize,
    /// Relations that one path leads over.
    pub steps: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 64 * 1024,
            depth: 64,
            conditions: 1_000,
            terms: 10_000,
            items: 2_000,
            steps: 5,
        }
    }
}

/// Reads a `where`. Aggregates have no place in it.
pub fn parse(text: &str, limits: &Limits) -> Result<Clause, Error> {
    let condition = Parser::new(text, limits, false)?.whole_condition()?;
    Ok(Clause { condition })
}

/// Reads a `having`: a condition that may use aggregates.
pub fn having(text: &str, limits: &Limits) -> Result<Clause, Error> {
    let condition = Parser::new(text, limits, true)?.whole_condition()?;
    Ok(Clause { condition })
}

/// Reads an expression (D:2.11): a value calculated of columns, such as `age + 1`.
pub fn expression(text: &str, limits: &Limits) -> Result<Operand, Error> {
    Parser::new(text, limits, false)?.whole_operand()
}
