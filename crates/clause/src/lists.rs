//! The lists beside a condition: `props`, `excludeProps`, `sortBy`, `groupBy`, `loadRelations`
//! (D:2.4–2.6, 4.5). An empty list is a list; empty entries, `a,,b`, are left out.

use crate::Limits;
use crate::cursor::{Parser, Result};
use crate::json_path::JsonStep;
use crate::tree::{List, Operand, Order, Path, Property, Relation, Sort, Term};

/// Reads `props` or `property`: columns, calculations, aggregates, each maybe `as` a name; `*`.
pub fn props(text: &str, limits: &Limits) -> Result<List<Property>> {
    list(Parser::new(text, limits, true)?, |it| {
        if let Some(at) = it.takes_star() {
            return Ok(Property::All(at));
        }
        let operand = it.operand()?;
        let alias = if it.takes_word("as") { Some(it.any_name()?) } else { None };
        Ok(Property::One { operand, alias })
    })
}

/// Reads `excludeProps`: the keys of answers, or columns over relations.
pub fn columns(text: &str, limits: &Limits) -> Result<List<Path>> {
    list(Parser::new(text, limits, false)?, Parser::path)
}

/// Reads `sortBy`: columns and calculations, each maybe with `asc` or `desc`.
pub fn sort(text: &str, limits: &Limits) -> Result<List<Sort>> {
    list(Parser::new(text, limits, false)?, |it| {
        let operand = it.operand()?;
        let order = if it.takes_word("desc") {
            Order::Descending
        } else {
            it.takes_word("asc");
            Order::Ascending
        };
        Ok(Sort { operand, order })
    })
}

/// Reads `groupBy`: columns, also over relations, and calculations.
pub fn group(text: &str, limits: &Limits) -> Result<List<Operand>> {
    list(Parser::new(text, limits, false)?, Parser::operand)
}

/// Reads `loadRelations`: relation columns, chains of them (`orders.items`), `*`.
pub fn relations(text: &str, limits: &Limits) -> Result<List<Relation>> {
    list(Parser::new(text, limits, false)?, |it| match it.takes_star() {
        Some(at) => Ok(Relation::All(at)),
        None => it.path().map(Relation::Path),
    })
}

fn list<'t, T>(
    mut parser: Parser<'t>,
    entry: impl Fn(&mut Parser<'t>) -> Result<T>,
) -> Result<List<T>> {
    let mut entries = Vec::new();
    loop {
        while parser.takes_sign(",") {}
        if parser.is_at_end() {
            return Ok(List(entries));
        }
        parser.room_for(entries.len())?;
        entries.push(entry(&mut parser)?);
        if !parser.is_at_end() && !parser.is_at_sign(",") {
            return Err(parser.expected("a comma"));
        }
    }
}

impl Property {
    /// The key of the answer that it fills (D:2.5, 7): the alias; else the name of the column, the
    /// last key of the JSON path, the name of the function (`avg`, `Time`); else the text of the
    /// calculation. `None` for `*`.
    pub fn key(&self) -> Option<String> {
        let Self::One { operand, alias } = self else { return None };
        if let Some(alias) = alias {
            return Some(alias.text.clone());
        }
        Some(match &operand.term {
            Term::Column(path) => path.column.text.clone(),
            Term::Inverse(inverse) => inverse.path.column.text.clone(),
            Term::Json(path, json) => {
                let keys = json.0.iter().rev();
                let mut keys = keys.filter_map(|it| match it {
                    JsonStep::Key(key) => Some(key),
                    JsonStep::Index(_) => None,
                });
                keys.next().unwrap_or(&path.column.text).clone()
            }
            Term::Aggregate(aggregate, _) => aggregate.name().to_lowercase(),
            Term::Call(function, _) => capitalised(function.name()),
            Term::Shifted { shift, .. } => capitalised(shift.name()),
            _ => operand.to_string(),
        })
    }
}

fn capitalised(name: &str) -> String {
    let (first, rest) = name.split_at(1);
    first.to_uppercase() + &rest.to_lowercase()
}
