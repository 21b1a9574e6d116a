//! What a query asks for: which objects, what of them, in which order.
//!
//! Wire: data-api 2.4, 2.5. Aggregates and paths over relations are refused with 1017 until they are
//! compiled.

use std::collections::HashSet;
use std::fmt::Write as _;

use clause::{At, Clause, Limits, List, Order, Property, Sort, Split as _, Value};
use serde_json::{Map, Value as Json};

use super::operands::{Compiler, What};
use super::{given, where_clause};
use crate::clock::Millis;
use crate::error::{Error, Result};
use crate::schema::Table;
use crate::store::conditions::{Cond, Expr, Given, Sign, Type};
use crate::store::query::{Key, Output, Recipe, Select, Shows};

/// The most entries of a list in a query.
const MOST: usize = 500;

/// A query as it was sent, with its values taken out: what is left is its shape.
pub struct Query {
    clause: Option<Clause>,
    /// The index of the id that is asked for.
    id: Option<usize>,
    props: List<Property>,
    left_out: HashSet<String>,
    sort: List<Sort>,
    /// For each entry of `sort` the entry of `props` that says the same.
    same: Vec<Option<usize>>,
    values: Vec<Value>,
    how: How,
}

/// What does not depend on the texts of a query.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct How {
    /// Whether `objectId` is shown unasked.
    pub with_id: bool,
    /// Whether objects that show the same count once.
    pub distinct: bool,
    /// Without an order: whether the oldest object comes first.
    pub oldest_first: bool,
}

/// Reads what a query says. Fails with 1017 for a condition that cannot be read, and with 1006 for a
/// list that cannot be.
pub fn read(query: &Map<String, Json>, how: How) -> Result<Query> {
    let limits = Limits::default();
    let mut values = Vec::new();
    let clause = where_clause::read(text(query, "where")?, &mut values)?;
    let mut props = list(query, "props", |it| clause::props(it, &limits))?;
    let property = list(query, "property", |it| clause::props(it, &limits))?;
    let with_id = how.with_id || !property.0.is_empty();
    props.0.extend(property.0);
    let mut sort = list(query, "sortBy", |it| clause::sort(it, &limits))?;
    let mut left_out = HashSet::new();
    for path in list(query, "excludeProps", |it| clause::columns(it, &limits))?.0 {
        left_out.insert(path.column.text);
    }
    let same = if how.distinct {
        let shown: Vec<Option<String>> = props.0.iter().map(operand_text).collect();
        let place = |it: &Sort| {
            let text = Some(it.operand.to_string());
            shown.iter().position(|shown| *shown == text)
        };
        sort.0.iter().map(place).collect()
    } else {
        Vec::new()
    };
    props.split(&mut values);
    sort.split(&mut values);
    let how = How { with_id, ..how };
    Ok(Query { clause, id: None, props, left_out, sort, same, values, how })
}

/// Reads the condition of a count.
pub fn read_condition(query: &Map<String, Json>) -> Result<Query> {
    let mut only = Map::new();
    if let Some(clause) = query.get("where") {
        only.insert("where".to_owned(), clause.clone());
    }
    read(&only, How::default())
}

fn operand_text(property: &Property) -> Option<String> {
    match property {
        Property::All(_) => None,
        Property::One { operand, .. } => Some(operand.to_string()),
    }
}

fn text<'q>(query: &'q Map<String, Json>, name: &str) -> Result<&'q str> {
    match query.get(name) {
        None | Some(Json::Null) => Ok(""),
        Some(Json::String(text)) => Ok(text),
        Some(Json::Array(list)) if list.is_empty() => Ok(""),
        Some(_) => Err(Error::where_clause(format!("Invalid where clause: {name} must be a text"))),
    }
}

/// A list of a query: a text with commas, or an array of such texts.
fn list<T>(
    query: &Map<String, Json>,
    name: &str,
    read: impl Fn(&str) -> Result<List<T>, clause::Error>,
) -> Result<List<T>> {
    let texts: Vec<&str> = match query.get(name) {
        Some(Json::String(text)) => vec![text],
        Some(Json::Array(list)) => list.iter().filter_map(Json::as_str).collect(),
        _ => Vec::new(),
    };
    let mut all = List(Vec::new());
    for text in texts {
        let unreadable = |it: clause::Error| {
            let message = format!("{name} cannot be read: {it}");
            Error::bad_selection(message).at_character(it.offset())
        };
        all.0.extend(read(text).map_err(unreadable)?.0);
        if all.0.len() > MOST {
            return Err(Error::bad_selection(format!("{MOST} entries of a list are the most")));
        }
    }
    Ok(all)
}

impl Query {
    /// The same query for the one object with that id.
    #[must_use]
    pub fn of(mut self, id: &str) -> Self {
        self.id = Some(self.values.len());
        let literal = clause::Literal::Text(id.to_owned());
        self.values.push(Value { at: At(0), literal });
        self
    }

    /// What tells this query from all that need another plan, for one table.
    pub fn shape(&self) -> String {
        let mut shape = String::new();
        if let Some(clause) = &self.clause {
            // Writing to a String cannot fail.
            let _ = write!(shape, "{clause}");
        }
        let mut left_out: Vec<&String> = self.left_out.iter().collect();
        left_out.sort_unstable();
        let (props, sort, how) = (&self.props, &self.sort, &self.how);
        let _ = write!(shape, "\0{:?}\0{props}\0{sort}\0{left_out:?}\0{how:?}\0", self.id);
        let _ = write!(shape, "{:?}\0", self.same);
        shape.extend(self.values.iter().map(|it| given::looks(it).letter()));
        shape
    }

    /// The values of a statement that was made for this shape.
    pub fn given(&self, recipes: &[Recipe], now: Millis) -> Result<Vec<Given>> {
        given::all(recipes, &self.values, now)
    }

    /// What the store is to find. Fails with 1006 for a column that is not there, and with 1017.
    pub fn select(&self, table: &Table) -> Result<(Select, Vec<Recipe>)> {
        let mut compiler = Compiler::new(table, &self.values);
        let outputs = self.outputs(&mut compiler)?;
        let condition = self.condition(&mut compiler)?;
        let order = self.order(&mut compiler, &outputs)?;
        let How { oldest_first, distinct, .. } = self.how;
        Ok((Select { outputs, condition, order, oldest_first, distinct }, compiler.recipes))
    }

    /// Which objects are meant; `None`: all. Fails like [`select`](Self::select).
    pub fn filter(&self, table: &Table) -> Result<(Option<Cond>, Vec<Recipe>)> {
        let mut compiler = Compiler::new(table, &self.values);
        let condition = self.condition(&mut compiler)?;
        Ok((condition, compiler.recipes))
    }

    fn condition(&self, compiler: &mut Compiler<'_>) -> Result<Option<Cond>> {
        if let Some(id) = self.id {
            compiler.recipes.push(Recipe::Client(id, Type::Text));
            let id = Expr::Bound(compiler.recipes.len() - 1, Type::Text);
            let column = Expr::Column("objectId".to_owned());
            return Ok(Some(Cond::Compare(column, Sign::Equal, id)));
        }
        self.clause.as_ref().map(|it| compiler.condition(&it.condition)).transpose()
    }

    fn outputs(&self, compiler: &mut Compiler<'_>) -> Result<Vec<Output>> {
        let mut outputs: Vec<Output> = Vec::new();
        let mut add = |it: Output| {
            if outputs.iter().all(|known| known.name != it.name) {
                outputs.push(it);
            }
        };
        let mut all = self.props.0.is_empty();
        for property in &self.props.0 {
            match property {
                Property::All(_) => all = true,
                Property::One { operand, .. } => {
                    let name = property.key().unwrap_or_default();
                    if name == "___class" {
                        let message = "___class is taken. Use another name";
                        return Err(Error::bad_selection(message));
                    }
                    add(Output { name, shows: shows(compiler, operand)? });
                }
            }
        }
        let table = compiler.table;
        let column = |(column, it): (usize, &crate::schema::Column)| Output {
            name: it.name.clone(),
            shows: Shows::Column(column),
        };
        let shown = table.columns.iter().enumerate().filter(|it| table.shows(it.1));
        if all {
            shown.map(column).for_each(&mut add);
        } else if self.how.with_id {
            shown.filter(|it| it.1.name == "objectId").map(column).for_each(&mut add);
        }
        outputs.retain(|it| !self.left_out.contains(&it.name));
        let is_json = |it: &Output| match &it.shows {
            Shows::Column(column) => table.columns[*column].kind == crate::schema::Kind::Json,
            Shows::Json(_) => true,
            Shows::Value(..) => false,
        };
        // One engine keeps the order of keys and the blanks, the other does not.
        if let Some(json) = outputs.iter().find(|it| self.how.distinct && is_json(it)) {
            let message =
                format!("{} is JSON, which distinct cannot compare. Leave it out", json.name);
            return Err(Error::bad_selection(message));
        }
        Ok(outputs)
    }

    fn order(&self, compiler: &mut Compiler<'_>, outputs: &[Output]) -> Result<Vec<(Key, bool)>> {
        let mut order: Vec<(Key, bool)> = Vec::new();
        for (index, sort) in self.sort.0.iter().enumerate() {
            let downwards = sort.order == Order::Descending;
            let mut keys = keys(compiler, &sort.operand)?;
            if self.how.distinct {
                let same = self.same.get(index).copied().flatten();
                let name = same.and_then(|it| self.props.0.get(it)).and_then(Property::key);
                let is_same = |it: &Output| match (&keys[0], &it.shows) {
                    (Key::Column(key), Shows::Column(column)) => key == column,
                    _ => Some(&it.name) == name.as_ref(),
                };
                let place = outputs.iter().position(is_same).ok_or_else(|| {
                    Error::bad_selection("With distinct, sort by columns that props has")
                })?;
                keys = vec![Key::Output(place)];
            }
            order.extend(keys.into_iter().map(|it| (it, downwards)));
        }
        Ok(order)
    }
}

fn shows(compiler: &mut Compiler<'_>, operand: &clause::Operand) -> Result<Shows> {
    if let clause::Term::Column(path) = &operand.term {
        return Ok(Shows::Column(compiler.column(path)?));
    }
    let side = compiler.side(operand)?;
    Ok(match &side.what {
        What::Json(part) => Shows::Json(part.clone()),
        What::Typed(expr, of, _) => Shows::Value(expr.clone(), *of),
        What::Literal(_) | What::Null => {
            let of = compiler.target(std::slice::from_ref(&side), side.at)?;
            Shows::Value(compiler.fit(side, of)?.0, of)
        }
    })
}

/// A part of a JSON value sorts its numbers, then its texts: two keys.
fn keys(compiler: &mut Compiler<'_>, operand: &clause::Operand) -> Result<Vec<Key>> {
    if let clause::Term::Column(path) = &operand.term {
        let column = compiler.column(path)?;
        if compiler.table.columns[column].kind == crate::schema::Kind::Json {
            return Err(Error::bad_selection("A JSON column has no order. Sort by another one"));
        }
        return Ok(vec![Key::Column(column)]);
    }
    let side = compiler.side(operand)?;
    match &side.what {
        What::Typed(expr, ..) => Ok(vec![Key::Value(expr.clone())]),
        What::Json(_) => {
            let number = compiler.fit(side.clone(), Type::Number)?.0;
            let text = compiler.fit(side, Type::Text)?.0;
            Ok(vec![Key::Value(number), Key::Value(text)])
        }
        What::Literal(_) | What::Null => Err(Error::bad_order()),
    }
}
