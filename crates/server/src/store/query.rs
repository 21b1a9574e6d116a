//! Statements that find, count, change and delete rows by a condition, made once for each shape of
//! a query and kept.

use std::sync::Arc;

use engine::{Dialect, Flow, Scope, Value as Stored, ValueRef, Wanted};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::conditions::{Cond, Expr, Given, Statement, Type, Writer};
use super::objects::{Cell, places};
use super::{Db, Tx};
use crate::error::Result;
use crate::metrics::Counter;
use crate::schema::{Kind, Table, values};

/// Bytes that the plans in memory take, about.
const ROOM: u64 = 16 << 20;
/// What a plan takes beside its texts, about.
const PLAN: u64 = 512;

/// How a value is made of what a query says.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Recipe {
    /// The client's value of that index, as this type.
    Client(usize, Type),
    /// The same, as a pattern.
    Pattern(usize),
    /// The same, as a number of units of time: how many milliseconds or months each has.
    Times(usize, i64),
    /// The time of the request.
    Now,
    /// A key of a JSON object.
    Key(String),
    /// An index in a JSON array.
    Index(u32),
}

/// A property of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// What it shows.
    pub shows: Shows,
}

/// What a property of an answer shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Shows {
    /// A column, by its place in the table.
    Column(usize),
    /// What is calculated.
    Value(Expr, Type),
    /// A part of a JSON column.
    Json(Expr),
}

/// What rows are sorted by.
#[derive(Clone, Debug, PartialEq)]
pub enum Key {
    /// A column, by its place in the table.
    Column(usize),
    /// What is calculated.
    Value(Expr),
    /// The property of the answer with that place.
    Output(usize),
}

/// A query of rows.
#[derive(Clone, Debug, Default)]
pub struct Select {
    /// What an answer shows of each.
    pub outputs: Vec<Output>,
    /// Which rows; absent: all.
    pub condition: Option<Cond>,
    /// What to sort by, each with whether the largest comes first.
    pub order: Vec<(Key, bool)>,
    /// Without that: whether the oldest row comes first, and not the newest.
    pub oldest_first: bool,
    /// Whether rows that show the same count once.
    pub distinct: bool,
}

/// A statement that was made ready, and how its values are.
#[derive(Debug)]
pub struct Plan {
    statement: Statement,
    /// Where its values come from. A page has two more: rows at most, and rows to leave out.
    pub recipes: Vec<Recipe>,
    outputs: Vec<(Form, Vec<u8>)>,
    end: Vec<u8>,
}

/// How a value is written.
#[derive(Clone, Copy, Debug)]
enum Form {
    Kind(Kind),
    Day,
}

impl Plan {
    /// A page of rows.
    pub fn page(
        (dialect, scope): (Dialect, &Scope),
        table: &Table,
        select: &Select,
        recipes: Vec<Recipe>,
    ) -> Self {
        let mut writer = Writer::new(dialect);
        writer.sql(if select.distinct { "select distinct " } else { "select " });
        if select.outputs.is_empty() {
            writer.name(".seq");
        }
        writer.list(&select.outputs, ", ", |it, output| match &output.shows {
            Shows::Column(column) => it.name(&table.columns[*column].physical),
            Shows::Value(expr, _) | Shows::Json(expr) => it.expr(expr),
        });
        writer.sql(" from ");
        writer.table(scope, table);
        condition(&mut writer, select.condition.as_ref());
        order(&mut writer, table, select);
        writer.sql(" limit ");
        writer.bound(recipes.len(), Wanted::Whole);
        writer.sql(" offset ");
        writer.bound(recipes.len() + 1, Wanted::Whole);
        let form = |it: &Output| {
            let mut key = Vec::with_capacity(it.name.len() + 3);
            values::write_text(&it.name, &mut key);
            key.push(b':');
            (form(table, &it.shows), key)
        };
        let mut end = b"\"___class\":".to_vec();
        values::write_text(&table.name, &mut end);
        let outputs = select.outputs.iter().map(form).collect();
        Self { statement: writer.done(), recipes, outputs, end }
    }

    /// How many rows there are.
    pub fn count(
        (dialect, scope): (Dialect, &Scope),
        table: &Table,
        filter: Option<&Cond>,
        recipes: Vec<Recipe>,
    ) -> Self {
        let mut writer = Writer::new(dialect);
        writer.sql("select count(*) from ");
        writer.table(scope, table);
        condition(&mut writer, filter);
        Self { statement: writer.done(), recipes, outputs: Vec::new(), end: Vec::new() }
    }

    fn weight(&self) -> usize {
        let texts: usize = self.outputs.iter().map(|it| it.1.len() + 32).sum();
        self.statement.sql.len() + texts + self.recipes.len() * 48
    }

    /// Writes rows as a JSON array: at most so many, after so many.
    pub fn write_page(
        &self,
        db: &Db<'_>,
        given: &[Given],
        (size, offset): (u64, u64),
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let bound = |it| Given::Value(Stored::Int(i64::try_from(it).unwrap_or(i64::MAX)));
        let given = [given, &[bound(size), bound(offset)]].concat();
        out.push(b'[');
        let mut first = true;
        db.each(&self.statement.with(db, &given), &mut |row| {
            out.extend_from_slice(if std::mem::take(&mut first) { b"{" } else { b",{" });
            for (index, (form, key)) in self.outputs.iter().enumerate() {
                out.extend_from_slice(key);
                match (form, row.at(index)?) {
                    (Form::Kind(kind), value) => values::write_json(*kind, value, out),
                    (Form::Day, ValueRef::Int(at)) => {
                        values::write_text(&values::day_text(at), out);
                    }
                    (Form::Day, value) => values::write_json(Kind::DateTime, value, out),
                }
                out.push(b',');
            }
            out.extend_from_slice(&self.end);
            out.push(b'}');
            Ok(Flow::Continue)
        })?;
        out.push(b']');
        Ok(())
    }

    /// The number that the statement tells.
    pub fn read_count(&self, db: &Db<'_>, given: &[Given]) -> Result<i64> {
        let mut count = 0;
        db.each(&self.statement.with(db, given), &mut |row| {
            if let ValueRef::Int(it) = row.at(0)? {
                count = it;
            }
            Ok(Flow::Stop)
        })?;
        Ok(count)
    }
}

fn form(table: &Table, shows: &Shows) -> Form {
    Form::Kind(match shows {
        Shows::Column(column) => table.columns[*column].kind,
        Shows::Json(_) => Kind::Json,
        Shows::Value(_, Type::Day) => return Form::Day,
        Shows::Value(_, Type::Text) => Kind::Text,
        Shows::Value(_, Type::Whole) => Kind::Int,
        Shows::Value(_, Type::Number) => Kind::Double,
        Shows::Value(_, Type::Bool) => Kind::Boolean,
        Shows::Value(_, Type::Time) => Kind::DateTime,
    })
}

fn condition(writer: &mut Writer, condition: Option<&Cond>) {
    if let Some(condition) = condition {
        writer.sql(" where ");
        writer.cond(condition);
    }
}

/// The same order on both engines: no value comes before all values, and rows that are alike in all
/// keys stand in the order in which they came, or in the other one where the last key is sorted
/// downwards.
fn order(writer: &mut Writer, table: &Table, select: &Select) {
    let mut keys = select.order.clone();
    if select.distinct {
        let sorted = |place: &usize| keys.iter().any(|it| it.0 == Key::Output(*place));
        let rest: Vec<usize> = (0..select.outputs.len()).filter(|it| !sorted(it)).collect();
        keys.extend(rest.into_iter().map(|it| (Key::Output(it), false)));
    }
    writer.sql(" order by ");
    writer.list(&keys, ", ", |it, (key, downwards)| {
        let mut sure = false;
        match key {
            Key::Column(column) => {
                let column = &table.columns[*column];
                sure = column.name == "objectId";
                it.name(&column.physical);
            }
            Key::Value(expr) => it.expr(expr),
            Key::Output(place) => it.ordinal(*place),
        }
        it.sql(match (downwards, sure) {
            (false, true) => " asc",
            (false, false) => " asc nulls first",
            (true, true) => " desc",
            (true, false) => " desc nulls last",
        });
    });
    if !select.distinct {
        if !keys.is_empty() {
            writer.sql(", ");
        }
        writer.name(".seq");
        let downwards = select.order.last().map_or(!select.oldest_first, |it| it.1);
        writer.sql(if downwards { " desc" } else { " asc" });
    } else if keys.is_empty() {
        writer.ordinal(0);
    }
}

/// Rows that meet a condition, with its values.
#[derive(Clone, Debug)]
pub struct Filter {
    /// The condition.
    pub condition: Cond,
    /// Its values.
    pub given: Vec<Given>,
}

/// The ids of the rows, in the order in which they came; at most so many.
pub fn ids(db: &Db<'_>, table: &Table, filter: &Filter, most: u64) -> Result<Vec<String>> {
    let mut writer = Writer::new(db.dialect());
    writer.sql("select ");
    writer.name("objectId");
    writer.sql(" from ");
    writer.table(db.scope(), table);
    condition(&mut writer, Some(&filter.condition));
    writer.sql(" order by ");
    writer.name(".seq");
    let mut ids = Vec::new();
    texts(db, &writer.done().with(db, &filter.given), most, &mut ids)?;
    Ok(ids)
}

/// The same, but by their ids, and the rows stay as they are until the transaction ends: whoever no
/// longer meets the condition once its row can be locked is not among them.
pub fn lock(tx: &Tx<'_>, table: &Table, filter: &Filter, most: u64) -> Result<Vec<String>> {
    let mut writer = Writer::new(tx.dialect());
    writer.sql("select ");
    locked(&mut writer, tx, table, filter);
    let mut ids = Vec::new();
    texts(tx, &writer.done().with(tx, &filter.given), most, &mut ids)?;
    Ok(ids)
}

/// The ids of the rows, which are locked in the order in which all lock rows.
fn locked(writer: &mut Writer, tx: &Tx<'_>, table: &Table, filter: &Filter) {
    writer.name("objectId");
    writer.sql(" from ");
    writer.table(tx.scope(), table);
    condition(writer, Some(&filter.condition));
    writer.sql(" order by ");
    writer.name("objectId");
    writer.sql(tx.dialect().for_update());
}

/// The same rows for a statement that writes them. SQLite has one writer, who needs no order.
fn in_order(writer: &mut Writer, tx: &Tx<'_>, table: &Table, filter: &Filter) {
    if !tx.dialect().shared() {
        return condition(writer, Some(&filter.condition));
    }
    writer.sql(" where ");
    writer.name("objectId");
    writer.sql(" in (select ");
    locked(writer, tx, table, filter);
    writer.sql(")");
}

fn texts(db: &Db<'_>, built: &engine::Built, most: u64, ids: &mut Vec<String>) -> Result<()> {
    db.each(built, &mut |row| {
        if let ValueRef::Text(it) = row.at(0)? {
            ids.push(it.to_owned());
        }
        Ok(if ids.len() as u64 >= most { Flow::Stop } else { Flow::Continue })
    })?;
    Ok(())
}

/// Changes the rows, all in the same way, and tells how many there were.
pub fn update(tx: &Tx<'_>, table: &Table, filter: &Filter, cells: &[Cell<'_>]) -> Result<u64> {
    let mut given = filter.given.clone();
    let mut writer = Writer::new(tx.dialect());
    writer.sql("update ");
    writer.table(tx.scope(), table);
    writer.sql(" set ");
    let places = places(cells);
    writer.list(&places, ", ", |it, (physical, _)| {
        let place = places.iter().position(|place| place.0 == *physical);
        it.name(physical);
        it.sql(" = ");
        it.placeholder(given.len() + place.unwrap_or_default());
    });
    in_order(&mut writer, tx, table, filter);
    given.extend(places.into_iter().map(|it| Given::Value(it.1)));
    Ok(tx.exec_built(&writer.done().with(tx, &given))?)
}

/// Removes the rows and tells how many there were.
pub fn delete(tx: &Tx<'_>, table: &Table, filter: &Filter) -> Result<u64> {
    let mut writer = Writer::new(tx.dialect());
    writer.sql("delete from ");
    writer.table(tx.scope(), table);
    in_order(&mut writer, tx, table, filter);
    Ok(tx.exec_built(&writer.done().with(tx, &filter.given))?)
}

/// The plans of all applications that were used last. A key names the application and the version of
/// its tables, so nothing of two applications meets, and a plan ends with the tables it was made for.
pub struct Plans {
    kept: Cache<String, Arc<Plan>, Weight>,
    /// Queries for which a plan was there.
    pub hits: Counter,
    /// Queries for which one was made.
    pub misses: Counter,
}

#[derive(Clone)]
struct Weight;

impl Weighter<String, Arc<Plan>> for Weight {
    fn weight(&self, key: &String, plan: &Arc<Plan>) -> u64 {
        (key.len() + plan.weight()) as u64 + PLAN
    }
}

impl Default for Plans {
    fn default() -> Self {
        let kept = Cache::with_weighter(4096, ROOM, Weight);
        Self { kept, hits: Counter::default(), misses: Counter::default() }
    }
}

impl Plans {
    /// The plan of that key, made if it is not there.
    pub fn get(&self, key: String, make: impl FnOnce() -> Result<Plan>) -> Result<Arc<Plan>> {
        if let Some(plan) = self.kept.get(&key) {
            self.hits.add();
            return Ok(plan);
        }
        let plan = Arc::new(make()?);
        self.misses.add();
        self.kept.insert(key, Arc::clone(&plan));
        Ok(plan)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
