//! What an answer shows of an object: `props`, `property`, `excludeProps`; and in which order
//! objects come: `sortBy`.
//!
//! Wire: data-api 2.4, 2.5. Functions, aggregates and paths over relations are refused with 1017
//! until they are compiled.

use std::collections::HashSet;

use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::schema::Table;
use crate::store::objects::{Shown, all_shown};

/// The most entries of a list in a query.
const MOST: usize = 500;

/// What the query asks to be shown. `id_comes_along`: whether `props` shows `objectId` unasked.
///
/// Fails with 1006 for a column that is not there, and with 1017 for what is not served yet.
pub fn shown(
    table: &Table,
    query: &Map<String, Value>,
    id_comes_along: bool,
) -> Result<Vec<Shown>> {
    let (props, property) = (list(query.get("props"))?, list(query.get("property"))?);
    let mut shown: Vec<Shown> = Vec::new();
    let mut add = |it: Shown| {
        if shown.iter().all(|known| known.name != it.name) {
            shown.push(it);
        }
    };
    let mut all = props.is_empty() && property.is_empty();
    for entry in props.iter().chain(&property) {
        match read(entry)? {
            Entry::All => all = true,
            Entry::One { column, name } => {
                let column = find(table, &column)?;
                let name = name.unwrap_or_else(|| table.columns[column].name.clone());
                add(Shown { name, column });
            }
        }
    }
    if all {
        all_shown(table).into_iter().for_each(&mut add);
    } else if !property.is_empty() || id_comes_along {
        let column = find(table, "objectId")?;
        add(Shown { name: "objectId".to_owned(), column });
    }
    let left_out = list(query.get("excludeProps"))?;
    shown.retain(|it| !left_out.iter().any(|out| bare(out) == Some(it.name.as_str())));
    Ok(shown)
}

/// The columns to sort by, each with whether the largest comes first. Fails like [`shown`].
pub fn sort(table: &Table, query: &Map<String, Value>) -> Result<Vec<(usize, bool)>> {
    let mut by: Vec<(usize, bool)> = Vec::new();
    for entry in list(query.get("sortBy"))? {
        let (column, order) = match entry.rsplit_once(char::is_whitespace) {
            Some((column, order)) => (column.trim_end(), order),
            None => (entry.as_str(), "asc"),
        };
        let downwards = match order.to_ascii_lowercase().as_str() {
            "asc" => false,
            "desc" => true,
            _ => return Err(Error::bad_order()),
        };
        let column = bare(column).ok_or_else(|| not_yet(&entry))?;
        let column = find(table, column)?;
        if table.columns[column].kind == crate::schema::Kind::Json {
            return Err(Error::bad_selection("A JSON column has no order. Sort by another one"));
        }
        if by.iter().all(|it| it.0 != column) {
            by.push((column, downwards));
        }
    }
    Ok(by)
}

fn find(table: &Table, name: &str) -> Result<usize> {
    table.shown(name).ok_or_else(|| Error::no_such_column(name, &table.name))
}

/// An entry of `props`.
enum Entry {
    /// `*`.
    All,
    /// `column` or `column as name`.
    One { column: String, name: Option<String> },
}

fn read(entry: &str) -> Result<Entry> {
    if entry == "*" {
        return Ok(Entry::All);
    }
    if let Some(column) = bare(entry) {
        return Ok(Entry::One { column: column.to_owned(), name: None });
    }
    let named = entry.split_once(char::is_whitespace).and_then(|(column, rest)| {
        let (word, name) = rest.trim_start().split_once(char::is_whitespace)?;
        let is_as = word.eq_ignore_ascii_case("as");
        Some((bare(column).filter(|_| is_as)?, bare(name.trim_start())?))
    });
    let (column, name) = named.ok_or_else(|| not_yet(entry))?;
    if name == "___class" {
        return Err(Error::bad_selection("___class is taken. Use another name"));
    }
    Ok(Entry::One { column: column.to_owned(), name: Some(name.to_owned()) })
}

/// A name alone, with or without back-ticks.
fn bare(text: &str) -> Option<&str> {
    if let Some(inner) = text.strip_prefix('`').and_then(|it| it.strip_suffix('`')) {
        return Some(inner).filter(|it| !it.is_empty() && !it.contains('`'));
    }
    let is_name = |it: char| it.is_alphanumeric() || it == '_';
    Some(text).filter(|it| !it.is_empty() && it.chars().all(is_name))
}

fn not_yet(entry: &str) -> Error {
    let short: String = entry.chars().take(60).collect();
    Error::where_clause(format!("{short} is not available yet (position 1)"))
}

/// A list of a query: a text with commas, or an array of such texts, each entry once. A comma within
/// parentheses or quotes is none.
fn list(value: Option<&Value>) -> Result<Vec<String>> {
    let (mut entries, mut seen) = (Vec::new(), HashSet::new());
    match value {
        Some(Value::String(text)) => split(text, &mut entries),
        Some(Value::Array(list)) => {
            list.iter().filter_map(Value::as_str).for_each(|it| split(it, &mut entries));
        }
        _ => {}
    }
    entries.retain(|it: &String| seen.insert(it.clone()));
    if entries.len() > MOST {
        return Err(Error::bad_selection(format!("{MOST} entries of a list are the most")));
    }
    Ok(entries)
}

fn split(text: &str, entries: &mut Vec<String>) {
    let (mut depth, mut quote, mut start) = (0_usize, None, 0);
    let mut add = |entry: &str| {
        let entry = entry.trim();
        if !entry.is_empty() {
            entries.push(entry.to_owned());
        }
    };
    for (at, letter) in text.char_indices() {
        match (quote, letter) {
            (Some(open), it) if it == open => quote = None,
            (None, '\'' | '"' | '`') => quote = Some(letter),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                add(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    add(&text[start..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_split_where_a_comma_stands_alone() {
        for (text, expected) in [
            ("", vec![]),
            (" , ,", vec![]),
            ("a", vec!["a"]),
            (" a , b ", vec!["a", "b"]),
            ("f(a, b) as c, `a,b`, 'x,y'", vec!["f(a, b) as c", "`a,b`", "'x,y'"]),
            ("f((a,b),c),d", vec!["f((a,b),c)", "d"]),
            (")a,b", vec![")a", "b"]),
            ("'a,b", vec!["'a,b"]),
        ] {
            let mut entries = Vec::new();
            split(text, &mut entries);
            assert_eq!(entries, expected, "{text}");
        }
    }
}
