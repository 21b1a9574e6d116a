//! Conditions and calculations over the rows of a table, and how they become SQL.
//!
//! **Invariant:** a statement grows by words of this crate, by templates of the dialect, by names
//! out of the catalog, and by placeholders; there is no other way. What a client wrote is bound.

use std::collections::HashMap;

use engine::{Calc, Dialect, Value as Stored, Wanted, Wild};

use super::Db;
use crate::schema::Table;

/// What a calculation yields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// A text.
    Text,
    /// A whole number, as a column of them holds it.
    Whole,
    /// A number.
    Number,
    /// True or false.
    Bool,
    /// Milliseconds since 1970.
    Time,
    /// The same, at midnight: a day.
    Day,
}

impl Type {
    fn wanted(self) -> Wanted {
        match self {
            Self::Text => Wanted::Text,
            Self::Whole | Self::Time | Self::Day => Wanted::Whole,
            Self::Number => Wanted::Number,
            Self::Bool => Wanted::Bool,
        }
    }
}

/// Something that has a value.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    /// A column, by its physical name.
    Column(String),
    /// A value that is bound: the index of it.
    Bound(usize, Type),
    /// No value.
    Null(Type),
    /// A part of a JSON column, as JSON: the physical name, and the values of the steps.
    Json(String, Vec<(usize, Wanted)>),
    /// A calculation.
    Call(Calc, Vec<Expr>),
    /// The first condition that is true decides.
    Case(Vec<(Cond, Expr)>, Option<Box<Expr>>),
}

/// How two values are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// The same.
    Equal,
    /// Not the same.
    NotEqual,
    /// Smaller.
    Less,
    /// Smaller or the same.
    LessOrEqual,
    /// Larger.
    Greater,
    /// Larger or the same.
    GreaterOrEqual,
}

/// Something that is true, false or unknown for a row.
#[derive(Clone, Debug, PartialEq)]
pub enum Cond {
    /// One of these.
    Or(Vec<Cond>),
    /// All of these.
    And(Vec<Cond>),
    /// Not this.
    Not(Box<Cond>),
    /// Two values of one type.
    Compare(Expr, Sign, Expr),
    /// A text and a pattern.
    Like(Expr, Expr),
    /// One of these values; never none.
    In(Expr, Vec<Expr>),
    /// Between these two, which belong to it.
    Between(Expr, Expr, Expr),
    /// No value.
    IsNull(Expr),
    /// A value that is true.
    Truth(Expr),
    /// Always so.
    Always(bool),
}

/// A value that goes with a statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Given {
    /// As it is.
    Value(Stored),
    /// A pattern.
    Pattern(Vec<Wild>),
    /// A key of a JSON object.
    Key(String),
    /// An index in a JSON array.
    Index(u32),
}

impl Given {
    fn stored(&self, dialect: Dialect) -> Stored {
        match self {
            Self::Value(it) => it.clone(),
            Self::Pattern(it) => Stored::Text(dialect.pattern(it)),
            Self::Key(it) => dialect.json_key(it),
            Self::Index(it) => dialect.json_index(*it),
        }
    }
}

/// A statement, and which of the values go into its placeholders.
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// The text.
    pub sql: String,
    binds: Vec<usize>,
}

impl Statement {
    /// The statement with its values.
    pub(super) fn with(&self, db: &Db<'_>, given: &[Given]) -> engine::Built {
        let dialect = db.dialect();
        let value = |it: &usize| given.get(*it).map_or(Stored::Null, |it| it.stored(dialect));
        engine::Built { sql: self.sql.clone(), values: self.binds.iter().map(value).collect() }
    }
}

/// A statement that is being written.
pub(super) struct Writer {
    dialect: Dialect,
    sql: String,
    binds: Vec<usize>,
    /// The place of each value that has one.
    places: HashMap<usize, usize>,
}

impl Writer {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self { dialect, sql: String::new(), binds: Vec::new(), places: HashMap::new() }
    }

    pub(super) fn done(self) -> Statement {
        Statement { sql: self.sql, binds: self.binds }
    }

    /// Words of the statement.
    pub(super) fn sql(&mut self, words: &'static str) {
        self.sql.push_str(words);
    }

    /// A name out of the catalog.
    pub(super) fn name(&mut self, physical: &str) {
        self.sql.push_str(&self.dialect.quote(physical));
    }

    /// A table of the catalog, in its place.
    pub(super) fn table(&mut self, scope: &engine::Scope, table: &Table) {
        self.sql.push_str(&self.dialect.table(scope, &table.physical));
    }

    /// A placeholder for the value with that index.
    pub(super) fn bound(&mut self, index: usize, wanted: Wanted) {
        let (before, after) = self.dialect.typed(wanted);
        self.sql(before);
        self.placeholder(index);
        self.sql(after);
    }

    /// The same for a value whose type the statement shows.
    pub(super) fn placeholder(&mut self, index: usize) {
        let binds = &mut self.binds;
        let place = *self.places.entry(index).or_insert_with(|| {
            binds.push(index);
            binds.len() - 1
        });
        self.sql(self.dialect.placeholder());
        self.sql.push_str(&(place + 1).to_string());
    }

    /// The column of the answer with that place, from 0.
    pub(super) fn ordinal(&mut self, place: usize) {
        self.sql.push_str(&(place + 1).to_string());
    }

    /// Parts with words between them.
    pub(super) fn list<T>(
        &mut self,
        parts: &[T],
        between: &'static str,
        write: impl Fn(&mut Self, &T),
    ) {
        for (index, part) in parts.iter().enumerate() {
            if index > 0 {
                self.sql(between);
            }
            write(self, part);
        }
    }

    pub(super) fn expr(&mut self, expr: &Expr) {
        match expr {
            Expr::Column(physical) => self.name(physical),
            Expr::Bound(index, of) => self.bound(*index, of.wanted()),
            Expr::Null(of) => {
                let (before, after) = self.dialect.typed(of.wanted());
                self.sql(before);
                self.sql("null");
                self.sql(after);
            }
            Expr::Json(physical, steps) => {
                self.sql("(");
                self.name(physical);
                for (index, wanted) in steps {
                    self.sql(" -> ");
                    self.bound(*index, *wanted);
                }
                self.sql(")");
            }
            Expr::Call(calc, operands) => self.call(*calc, operands),
            Expr::Case(when, otherwise) => {
                self.sql("(case");
                for (condition, value) in when {
                    self.sql(" when ");
                    self.cond(condition);
                    self.sql(" then ");
                    self.expr(value);
                }
                if let Some(value) = otherwise {
                    self.sql(" else ");
                    self.expr(value);
                }
                self.sql(" end)");
            }
        }
    }

    fn call(&mut self, calc: Calc, operands: &[Expr]) {
        let mut rest = self.dialect.calc(calc);
        while let Some((before, after)) = rest.split_once('{') {
            self.sql(before);
            let (index, after) = after.split_once('}').unwrap_or((after, ""));
            if let Some(operand) = index.parse().ok().and_then(|it: usize| operands.get(it)) {
                self.expr(operand);
            }
            rest = after;
        }
        self.sql(rest);
    }

    pub(super) fn cond(&mut self, cond: &Cond) {
        match cond {
            Cond::Or(parts) => self.balanced(parts, " or "),
            Cond::And(parts) => self.balanced(parts, " and "),
            Cond::Not(inner) => {
                self.sql("(not ");
                self.cond(inner);
                self.sql(")");
            }
            Cond::Compare(left, sign, right) => {
                self.sql("(");
                self.expr(left);
                self.sql(match sign {
                    Sign::Equal => " = ",
                    Sign::NotEqual => " <> ",
                    Sign::Less => " < ",
                    Sign::LessOrEqual => " <= ",
                    Sign::Greater => " > ",
                    Sign::GreaterOrEqual => " >= ",
                });
                self.expr(right);
                self.sql(")");
            }
            Cond::Like(value, pattern) => {
                self.call(Calc::Like, &[value.clone(), pattern.clone()]);
            }
            Cond::In(value, list) => {
                self.sql("(");
                self.expr(value);
                self.sql(" in (");
                self.list(list, ", ", Writer::expr);
                self.sql("))");
            }
            Cond::Between(value, low, high) => {
                self.sql("(");
                self.expr(value);
                self.sql(" between ");
                self.expr(low);
                self.sql(" and ");
                self.expr(high);
                self.sql(")");
            }
            Cond::IsNull(value) => {
                self.sql("(");
                self.expr(value);
                self.sql(" is null)");
            }
            Cond::Truth(value) => self.expr(value),
            Cond::Always(true) => self.sql("(1 = 1)"),
            Cond::Always(false) => self.sql("(1 = 0)"),
        }
    }

    /// A chain of a thousand would be nested a thousand deep in SQLite, and refused.
    fn balanced(&mut self, parts: &[Cond], word: &'static str) {
        match parts {
            [] => {}
            [one] => self.cond(one),
            many => {
                let (left, right) = many.split_at(many.len() / 2);
                self.sql("(");
                self.balanced(left, word);
                self.sql(word);
                self.balanced(right, word);
                self.sql(")");
            }
        }
    }
}
