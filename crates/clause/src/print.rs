//! A tree as text, in one canonical form: what is read from it is the same tree, and what is
//! printed of that the same text.

use std::fmt::{Display, Formatter, Result};

use crate::cursor::is_reserved;
use crate::lex::{begins_name, continues_name};
use crate::parse::Bind;
use crate::tree::{
    Add, Among, Clause, Comparison, Condition, Inverse, List, Literal, LiteralKind, Multiply, Name,
    Operand, Order, Parameter, Path, Property, Relation, Sort, Term, Test,
};

/// Words that are written in back-ticks when they are names, though some places take them plainly.
const KEYWORDS: &[&str] =
    &["case", "when", "then", "else", "end", "after", "before", "at", "interval", "asc", "desc"];

impl Display for Clause {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        self.condition.fmt(f)
    }
}

impl Display for Condition {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match &self.test {
            Test::Or(parts) => separated(f, parts, " or ", |f, it| condition(f, it, Bind::And)),
            Test::And(parts) => separated(f, parts, " and ", |f, it| condition(f, it, Bind::Not)),
            Test::Not(inner) => {
                write!(f, "not ")?;
                condition(f, inner, Bind::Test)
            }
            Test::Compare { comparison, left, right } => {
                write!(f, "{left} {} {right}", word(*comparison))
            }
            Test::Like { negated, operand, pattern } => {
                write!(f, "{operand}{} like {pattern}", not(*negated))
            }
            Test::In { negated, operand, among } => {
                write!(f, "{operand}{} in ({among})", not(*negated))
            }
            Test::Between { negated, operand, low, high } => {
                write!(f, "{operand}{} between {low} and {high}", not(*negated))
            }
            Test::IsNull { negated, operand } => {
                write!(f, "{operand} is{} null", not(*negated))
            }
            Test::Truth(operand) => operand.fmt(f),
        }
    }
}

fn condition(f: &mut Formatter<'_>, it: &Condition, least: Bind) -> Result {
    let bind = match it.test {
        Test::Or(_) => Bind::Or,
        Test::And(_) => Bind::And,
        Test::Not(_) => Bind::Not,
        _ => Bind::Test,
    };
    if bind < least { write!(f, "({it})") } else { it.fmt(f) }
}

fn not(negated: bool) -> &'static str {
    if negated { " not" } else { "" }
}

fn word(comparison: Comparison) -> &'static str {
    match comparison {
        Comparison::Equal => "=",
        Comparison::NotEqual => "!=",
        Comparison::Less => "<",
        Comparison::LessOrEqual => "<=",
        Comparison::Greater => ">",
        Comparison::GreaterOrEqual => ">=",
        Comparison::Before => "before",
        Comparison::AtOrBefore => "at or before",
        Comparison::After => "after",
        Comparison::AtOrAfter => "at or after",
    }
}

impl Display for Among {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Query(query) => {
                query.table.fmt(f)?;
                if let Some(condition) = &query.condition {
                    write!(f, "[{condition}]")?;
                }
                write!(f, ".{}", query.path)
            }
            // Alone in the parentheses they would be a subquery.
            Self::List(list) => match list.as_slice() {
                [one] if is_like_a_query(&one.term) => write!(f, "({one})"),
                list => values(f, list),
            },
        }
    }
}

fn is_like_a_query(term: &Term) -> bool {
    match term {
        Term::Column(path) => !path.steps.is_empty(),
        Term::Inverse(_) => true,
        _ => false,
    }
}

/// A list of values. Parameters of one kind are counted, so that the shape of a clause with a
/// thousand ids is short.
fn values(f: &mut Formatter<'_>, list: &[Operand]) -> Result {
    let kind = |it: &Operand| match it.term {
        Term::Parameter(it) => Some(it.kind),
        _ => None,
    };
    for (index, run) in list.chunk_by(|a, b| kind(a).is_some() && kind(a) == kind(b)).enumerate() {
        write!(f, "{}{}", if index > 0 { ", " } else { "" }, run[0])?;
        if run.len() > 1 {
            write!(f, "*{}", run.len())?;
        }
    }
    Ok(())
}

impl Display for Operand {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match &self.term {
            Term::Literal(it) => it.fmt(f),
            Term::Parameter(it) => it.fmt(f),
            Term::Column(path) => path.fmt(f),
            Term::Json(path, json) => write!(f, "{path}->{}", Quoted(&json.to_string())),
            Term::Inverse(it) => it.fmt(f),
            Term::Call(function, arguments) => {
                write!(f, "{}(", function.name())?;
                separated(f, arguments, ", ", |f, it| it.fmt(f))?;
                write!(f, ")")
            }
            Term::Shifted { shift, from, amount, unit } => {
                write!(f, "{}({from}, {amount}, '{}')", shift.name(), unit.name())
            }
            Term::Aggregate(aggregate, of) => write!(f, "{}({of})", aggregate.name()),
            Term::Sum { first, rest } => {
                operand(f, first, Bind::Product)?;
                for (sign, it) in rest {
                    write!(f, " {} ", if *sign == Add::Plus { '+' } else { '-' })?;
                    operand(f, it, Bind::Product)?;
                }
                Ok(())
            }
            Term::Product { first, rest } => {
                operand(f, first, Bind::Factor)?;
                for (sign, it) in rest {
                    let sign = match sign {
                        Multiply::Times => '*',
                        Multiply::Over => '/',
                        Multiply::Modulo => '%',
                    };
                    write!(f, " {sign} ")?;
                    operand(f, it, Bind::Factor)?;
                }
                Ok(())
            }
            Term::Negated(of) => {
                // Without parentheses it would be a negative number.
                let positive = match &of.term {
                    Term::Literal(Literal::Number(it)) => !it.text().starts_with('-'),
                    Term::Parameter(_) => true,
                    _ => false,
                };
                if positive {
                    return write!(f, "-({of})");
                }
                write!(f, "-")?;
                operand(f, of, Bind::Factor)
            }
            Term::Case { when, otherwise } => {
                write!(f, "case")?;
                for (condition, it) in when {
                    write!(f, " when {condition} then {it}")?;
                }
                if let Some(it) = otherwise {
                    write!(f, " else {it}")?;
                }
                write!(f, " end")
            }
        }
    }
}

fn operand(f: &mut Formatter<'_>, it: &Operand, least: Bind) -> Result {
    let bind = match it.term {
        Term::Sum { .. } => Bind::Sum,
        Term::Product { .. } => Bind::Product,
        _ => Bind::Factor,
    };
    if bind < least { write!(f, "({it})") } else { it.fmt(f) }
}

impl Display for Literal {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::Text(it) => Quoted(it).fmt(f),
            Self::Number(it) => f.write_str(it.text()),
            Self::Bool(it) => it.fmt(f),
            Self::Null => f.write_str("null"),
        }
    }
}

/// A text in single quotes.
struct Quoted<'t>(&'t str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "'{}'", self.0.replace('\'', "''"))
    }
}

/// Nothing that a client can write looks like it: no text begins with a question mark.
impl Display for Parameter {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.write_str(match self.kind {
            LiteralKind::Text => "?text",
            LiteralKind::Number => "?number",
            LiteralKind::Bool => "?bool",
        })
    }
}

impl Display for Path {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        for step in &self.steps {
            write!(f, "{step}.")?;
        }
        self.column.fmt(f)
    }
}

impl Display for Inverse {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{}[{}].{}", self.table, self.relation, self.path)
    }
}

impl Display for Name {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let keyword = KEYWORDS.iter().any(|it| it.eq_ignore_ascii_case(&self.text));
        let plain = !keyword
            && !is_reserved(&self.text)
            && self.text.starts_with(begins_name)
            && self.text.chars().all(continues_name);
        if plain { f.write_str(&self.text) } else { write!(f, "`{}`", self.text) }
    }
}

impl<T: Display> Display for List<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        separated(f, &self.0, ", ", |f, it| it.fmt(f))
    }
}

impl Display for Property {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::All(_) => f.write_str("*"),
            Self::One { operand, alias: None } => operand.fmt(f),
            Self::One { operand, alias: Some(alias) } => write!(f, "{operand} as {alias}"),
        }
    }
}

impl Display for Sort {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let order = if self.order == Order::Descending { " desc" } else { "" };
        write!(f, "{}{order}", self.operand)
    }
}

impl Display for Relation {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self {
            Self::All(_) => f.write_str("*"),
            Self::Path(path) => path.fmt(f),
        }
    }
}

fn separated<T>(
    f: &mut Formatter<'_>,
    parts: &[T],
    separator: &str,
    each: impl Fn(&mut Formatter<'_>, &T) -> Result,
) -> Result {
    for (index, part) in parts.iter().enumerate() {
        if index > 0 {
            f.write_str(separator)?;
        }
        each(f, part)?;
    }
    Ok(())
}
