//! Random tables, rows and queries, answered by the server and by a plain evaluator in here: the same
//! rows in the same order. Both engines are held to it, and so to each other.

use std::cmp::Ordering;
use std::fmt::Write as _;

use http::Method;
use serde_json::{Map, Value, json};

use crate::harness::{TestApp, TestServer};
use crate::meaning::{
    Beyond, Cell, DOCUMENTS, Dice, Kind, Maker, NUMBERS, Row, TEXTS, TIMES, WHOLE, order,
};

/// How many tables are made, and how many queries are asked of each.
const TABLES: u64 = 4;
const QUERIES: usize = 150;
const ROWS: usize = 30;

async fn filled(
    server: &TestServer,
    dice: &mut Dice,
    table: &str,
) -> (Vec<(String, Kind)>, Vec<Row>) {
    let (app, desk) = (&server.app, server.desk().await);
    let words =
        ["order", "select", "Group", "x", "_y", "z9", "where_", "end", "at", "after", "index"];
    let mut columns: Vec<(String, Kind)> = Vec::new();
    for (kind, most) in [
        (Kind::Text, 2),
        (Kind::Whole, 2),
        (Kind::Number, 2),
        (Kind::Bool, 1),
        (Kind::Time, 2),
        (Kind::Json, 1),
    ] {
        for _ in 0..=dice.below(most) {
            columns.push((format!("{}{}", dice.of(&words), columns.len()), kind));
        }
    }
    desk.about(Method::POST, "/data/tables").body(json!({ "name": table })).send().await.ok();
    for (name, kind) in &columns {
        let kind = match kind {
            Kind::Text => "STRING",
            Kind::Whole => "INT",
            Kind::Number => "DOUBLE",
            Kind::Bool => "BOOLEAN",
            Kind::Time => "DATETIME",
            Kind::Json => "JSON",
        };
        let column = json!({ "name": name, "dataType": kind });
        let path = format!("/data/tables/{table}/columns");
        desk.about(Method::POST, &path).body(column).send().await.ok();
    }
    let (mut rows, mut objects) = (Vec::new(), Vec::new());
    for index in 0..ROWS {
        let (mut row, mut object) = (Row::new(), Map::new());
        object.insert("objectId".to_owned(), index.to_string().into());
        for (name, kind) in &columns {
            if dice.below(6) == 0 {
                row.push(Cell::Null);
                continue;
            }
            #[expect(clippy::cast_precision_loss, reason = "all of them have 53 bits at most")]
            let (cell, value) = match kind {
                Kind::Text => {
                    let text = dice.of(TEXTS);
                    (Cell::Text(text.to_owned()), json!(text))
                }
                Kind::Whole => {
                    let number = dice.of(WHOLE);
                    (Cell::Number(number as f64), json!(number))
                }
                Kind::Number => {
                    let number = dice.of(NUMBERS);
                    (Cell::Number(number), json!(number))
                }
                Kind::Bool => {
                    let is = dice.below(2) == 0;
                    (Cell::Bool(is), json!(is))
                }
                Kind::Time => {
                    let at = dice.of(TIMES);
                    (Cell::Number(at as f64), json!(at))
                }
                Kind::Json => {
                    let document: Value = serde_json::from_str(dice.of(DOCUMENTS)).unwrap();
                    (Cell::Json(document.clone()), document)
                }
            };
            row.push(cell);
            object.insert(name.clone(), value);
        }
        rows.push(row);
        objects.push(Value::Object(object));
    }
    app.post(&format!("/data/bulk/{table}"), Value::Array(objects)).send().await.ok();
    (columns, rows)
}

/// A query, and the rows that it means, in their order; `None` if a calculation of it is beyond what
/// can be calculated for one of the rows.
fn query(
    dice: &mut Dice,
    columns: &[(String, Kind)],
    rows: &[Row],
) -> Option<(Value, Option<Vec<usize>>)> {
    let mut maker = Maker { dice, columns };
    let (clause, test) = maker.test(3)?;
    let mut keys = Vec::new();
    let mut sort = String::new();
    for _ in 0..maker.dice.below(3) {
        let (text, calc) = match maker.dice.below(5) {
            0 => {
                // A literal alone is no order.
                let (text, calc) = maker.number(1)?;
                (format!("{text} * 1"), calc)
            }
            1 => maker.cell(Kind::Bool)?,
            2 => maker.time()?,
            _ => maker.text(1)?,
        };
        let down = maker.dice.below(2) == 0;
        let comma = if sort.is_empty() { "" } else { ", " };
        let _ = write!(sort, "{comma}{text}{}", if down { " DESC" } else { " asc" });
        keys.push((calc, down));
    }
    let (size, offset) = (1 + dice.below(100), dice.below(10));
    let query = json!({ "where": clause, "sortBy": sort, "pageSize": size, "offset": offset, "props": "objectId" });
    let model = || {
        let mut found = Vec::new();
        for (index, row) in rows.iter().enumerate() {
            let mut key = Vec::new();
            for (calc, _) in &keys {
                key.push(calc(row)?);
            }
            if test(row)? == Some(true) {
                found.push((index, key));
            }
        }
        let last = keys.last().is_none_or(|it| it.1);
        found.sort_by(|a, b| {
            for (place, (_, down)) in keys.iter().enumerate() {
                let (a, b) = (&a.1[place], &b.1[place]);
                let nulls = (*a != Cell::Null).cmp(&(*b != Cell::Null));
                let by = nulls.then_with(|| order(a, b).unwrap_or(Ordering::Equal));
                if by.is_ne() {
                    return if *down { by.reverse() } else { by };
                }
            }
            if last { b.0.cmp(&a.0) } else { a.0.cmp(&b.0) }
        });
        Ok::<_, Beyond>(found.into_iter().skip(offset).take(size).map(|it| it.0).collect())
    };
    Some((query, model().ok()))
}

async fn ask(app: &TestApp, table: &str, query: &Value) -> Result<Vec<usize>, u64> {
    let reply = app.post(&format!("/data/{table}/find"), query.clone()).send().await;
    if reply.code() != 0 {
        return Err(reply.code());
    }
    let rows = reply.ok();
    let id = |it: &Value| it["objectId"].as_str().unwrap().parse().unwrap();
    Ok(rows.as_array().unwrap().iter().map(id).collect())
}

#[tokio::test]
async fn every_query_finds_what_a_plain_evaluator_finds() {
    let server = TestServer::compat().await;
    #[expect(clippy::disallowed_methods, reason = "a switch of this test alone")]
    let asked = std::env::var("USHER_TEST_SEED");
    let first: u64 = asked.ok().and_then(|it| it.parse().ok()).unwrap_or(1);
    let (mut queries, mut rows_found, mut wrong) = (0, 0, Vec::new());
    for seed in first..first + TABLES {
        let (mut dice, table) = (Dice(seed), format!("T{seed}"));
        let (columns, rows) = filled(&server, &mut dice, &table).await;
        for _ in 0..QUERIES {
            let Some((query, expected)) = query(&mut dice, &columns, &rows) else { continue };
            let found = ask(&server.app, &table, &query).await;
            // An engine need not calculate what cannot change the answer.
            let Some(expected) = expected else { continue };
            queries += 1;
            rows_found += expected.len();
            if found != Ok(expected.clone()) {
                wrong.push(format!("seed {seed}: {query}\n  {found:?} instead of {expected:?}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {queries}:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(8)].join("\n")
    );
    assert!(queries > 300 && rows_found > queries, "{queries} queries found {rows_found} rows");
}
