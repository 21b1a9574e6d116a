//! The values that a query gives: what they look like, and what they become for the column that they
//! are compared with.
//!
//! Wire: data-api 3.4, 3.6.

use clause::{At, Literal, Value};
use engine::{Value as Stored, Wild};
use icu_casemap::{CaseMapper, ClosureSink};

use crate::clock::Millis;
use crate::error::{Error, Result};
use crate::schema::values;
use crate::store::conditions::{Given, Type};
use crate::store::query::Recipe;

/// The longest pattern, in characters: SQLite takes 50,000 bytes, and a letter may become ten.
const PATTERN: usize = 2_000;
/// The largest whole number that a column holds: 2⁵³−1.
const MOST: i64 = (1 << 53) - 1;
/// The most years that a time can be moved by.
const YEARS: i64 = 4_700;

/// What kind of number a value can be. A plan serves values of the same looks alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    /// A whole one that a column of whole numbers can hold.
    Whole,
    /// Another one.
    Number,
    /// None.
    Text,
    /// True or false.
    Bool,
}

impl Looks {
    /// The letter in the key of a plan.
    pub fn letter(self) -> char {
        match self {
            Self::Whole => 'w',
            Self::Number => 'n',
            Self::Text => 't',
            Self::Bool => 'b',
        }
    }
}

/// What a value looks like.
pub fn looks(value: &Value) -> Looks {
    let text = match &value.literal {
        Literal::Text(text) => text.trim(),
        Literal::Number(number) => number.text(),
        Literal::Bool(_) => return Looks::Bool,
        Literal::Null => return Looks::Text,
    };
    if whole(text).is_some() {
        Looks::Whole
    } else if number(text).is_some() {
        Looks::Number
    } else {
        Looks::Text
    }
}

fn whole(text: &str) -> Option<i64> {
    text.parse().ok().filter(|it: &i64| it.unsigned_abs() <= MOST.unsigned_abs())
}

fn number(text: &str) -> Option<f64> {
    // Words such as `inf` are numbers to Rust alone.
    let plain = text.bytes().all(|it| it.is_ascii_digit() || b"+-.eE".contains(&it));
    text.parse().ok().filter(|it: &f64| plain && it.is_finite())
}

/// The refusal of a condition, with the position where it is wrong, counted from 1.
pub fn refused(what: &str, at: At) -> Error {
    let position = u64::from(at.0) + 1;
    let message = format!("Invalid where clause: {what} (position {position})");
    Error::where_clause(message).at_character(at.0)
}

/// The refusal of what the language has and the server has not yet.
pub fn not_yet(what: &str, at: At) -> Error {
    refused(&format!("{what} is not available yet"), at)
}

/// The values of a statement.
pub fn all(recipes: &[Recipe], values: &[Value], now: Millis) -> Result<Vec<Given>> {
    recipes.iter().map(|it| one(it, values, now)).collect()
}

fn one(recipe: &Recipe, values: &[Value], now: Millis) -> Result<Given> {
    let value = |index: &usize| values.get(*index).ok_or_else(|| Error::internal("no such value"));
    Ok(match recipe {
        Recipe::Client(index, of) => Given::Value(fitted(value(index)?, *of)?),
        Recipe::Pattern(index) => Given::Pattern(pattern(value(index)?)?),
        Recipe::Times(index, size) => {
            let value = value(index)?;
            let wrong =
                || refused("expected a whole number, of up to 4,700 years in all", value.at);
            let count = whole(text(value)).ok_or_else(wrong)?;
            // A size above a second is in milliseconds, a smaller one in months.
            let most = if size.abs() < 1_000 { YEARS * 12 } else { YEARS * 365 * 86_400_000 };
            let moved = count.checked_mul(*size).filter(|it| it.abs() <= most);
            Given::Value(Stored::Int(moved.ok_or_else(wrong)?))
        }
        Recipe::Now => Given::Value(Stored::Int(now.0)),
        Recipe::Key(key) => Given::Key(key.clone()),
        Recipe::Index(index) => Given::Index(*index),
    })
}

fn text(value: &Value) -> &str {
    match &value.literal {
        Literal::Text(it) => it,
        Literal::Number(it) => it.text(),
        Literal::Bool(true) => "true",
        Literal::Bool(false) => "false",
        Literal::Null => "",
    }
}

/// The value as the type of the column that it is compared with.
fn fitted(value: &Value, of: Type) -> Result<Stored> {
    let text = text(value);
    let plain = text.trim();
    Ok(match of {
        Type::Text => Stored::Text(text.to_owned()),
        Type::Whole => {
            Stored::Int(whole(plain).ok_or_else(|| refused("expected a number", value.at))?)
        }
        Type::Number => {
            Stored::Real(number(plain).ok_or_else(|| refused("expected a number", value.at))?)
        }
        Type::Bool => Stored::Bool(match plain.to_ascii_lowercase().as_str() {
            "true" | "1" => true,
            "false" | "0" => false,
            _ => return Err(refused("expected true or false", value.at)),
        }),
        Type::Time | Type::Day => {
            let date = match &value.literal {
                Literal::Bool(_) => None,
                _ => values::instant(&plain.into()),
            };
            Stored::Int(date.ok_or_else(|| refused("expected a date", value.at))?)
        }
    })
}

/// A pattern of which every letter stands for all letters that differ from it in case alone (simple
/// folding of Unicode, one character for one).
fn pattern(value: &Value) -> Result<Vec<Wild>> {
    let text = text(value);
    if text.chars().nth(PATTERN).is_some() {
        return Err(refused(&format!("the pattern is longer than {PATTERN} characters"), value.at));
    }
    let cases = CaseMapper::new();
    let piece = |it| match it {
        clause::Wild::Any => Wild::Any,
        clause::Wild::One => Wild::One,
        clause::Wild::Character(letter) => {
            let mut same = Same(vec![letter]);
            cases.add_case_closure_to(letter, &mut same);
            same.0.sort_unstable();
            same.0.dedup();
            Wild::OneOf(same.0)
        }
    };
    Ok(clause::Wild::read(text).map(piece).collect())
}

struct Same(Vec<char>);

impl ClosureSink for Same {
    fn add_char(&mut self, letter: char) {
        self.0.push(letter);
    }

    // ß and SS: a pattern's character is one character.
    fn add_string(&mut self, _: &str) {}
}
