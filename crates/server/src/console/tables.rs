//! Tables, columns and properties of users in the Console, and validators.
//!
//! Wire: users-api 6.4 and 6.5, data-api 1.5 and 1.6.

use serde_json::{Value, json};

use super::MEMBER;
use crate::data::{columns, work};
use crate::error::{Error, Result};
use crate::schema::validators::{Chosen, VALIDATORS};
use crate::schema::{Column, Maker, USERS, values, wish};
use crate::server::Server;
use crate::store::schema_work::{self, SchemaWork};
use crate::users::write::Change;
use crate::web::shape::{any, flag, list, number, object, text, time, word};
use crate::web::{
    Access, Answer, Body, Desk, Names, Reply, Route, State, Token, delete, get, post, put,
};

/// What changing a table or column refuses.
const CHANGES: &[u32] = &[1006, 1009, 1135, 1138, 1154, 1155, 1161, 3038, 3039, 20040, 20042];

/// The routes.
pub fn routes() -> Vec<Route> {
    [of_tables(), of_columns(), of_validators()].into_iter().flatten().collect()
}

fn column_shape() -> Value {
    object(&[
        ("columnId?", text(), "Its id"),
        ("name?", text(), "Its name; another one renames it"),
        (
            "dataType?",
            text(),
            "STRING, TEXT, EXTENDED_STRING, INT, DOUBLE, BOOLEAN, DATETIME, JSON or FILE_REF",
        ),
        ("dataSize?", any(), "The most characters of a text"),
        ("required?", flag(), "Whether an object must have it"),
        ("unique?", flag(), "Whether no two objects have the same value"),
        ("indexed?", flag(), "Whether searches by it are quick"),
        ("identity?", flag(), "Whether users log in with it"),
        ("defaultValue?", any(), "The value of an object that comes without one"),
        ("customRegex?", any(), "The expression that the whole value matches, or null"),
        ("validator?", any(), "A ready-made validator, {\"id\", \"params\"}, or null"),
        (
            "onFailing?",
            word(&["keep", "refuse"]),
            "In a request: what to do if objects fail a new validator",
        ),
        ("failing?", any(), "In an answer: how many objects fail the new validator, and the first"),
        ("work?", any(), "In an answer: the id of the work that goes on"),
    ])
}

fn table_shape() -> Value {
    object(&[
        ("tableId", text(), "Its id"),
        ("name", text(), "Its name"),
        ("system", flag(), "Whether it can be neither renamed nor deleted"),
        ("columns", list(&column_shape()), "Its columns"),
    ])
}

fn of_tables() -> Vec<Route> {
    let tables = object(&[
        ("mode", text(), "Always internal"),
        ("tables", list(&table_shape()), "All tables"),
    ]);
    let name = object(&[("name", text(), "Its name")]);
    vec![
        get(("listTables", "/data/tables", "Lists tables with their columns"), MEMBER, tables_of)
            .gives(tables),
        post(("createTable", "/data/tables", "Makes a table"), MEMBER, create_table)
            .takes(name.clone())
            .gives(table_shape())
            .refuses(CHANGES),
        put(("renameTable", "/data/tables/{table}", "Renames a table"), MEMBER, rename_table)
            .takes(name)
            .gives(table_shape())
            .refuses(CHANGES),
        delete(
            ("deleteTable", "/data/tables/{table}", "Deletes a table with its objects"),
            MEMBER,
            delete_table,
        )
        .refuses(CHANGES),
    ]
}

fn of_columns() -> Vec<Route> {
    let column = "/data/tables/{table}/columns/{column}";
    vec![
        post(
            ("createColumn", "/data/tables/{table}/columns", "Adds a column"),
            MEMBER,
            create_column,
        )
        .takes(column_shape())
        .gives(column_shape())
        .refuses(CHANGES),
        put(("changeColumn", column, "Changes a column"), MEMBER, change_column)
            .takes(column_shape())
            .gives(column_shape())
            .refuses(CHANGES),
        delete(("deleteColumn", column, "Deletes a column with its values"), MEMBER, delete_column)
            .refuses(CHANGES),
        get(
            ("listProperties", "/userproperties", "Lists the properties of users"),
            MEMBER,
            properties,
        )
        .gives(list(&column_shape())),
        put(
            ("changeProperty", "/userproperties/{column}", "Changes a property of users"),
            MEMBER,
            change_property,
        )
        .takes(column_shape())
        .gives(column_shape())
        .refuses(CHANGES),
    ]
}

fn of_validators() -> Vec<Route> {
    let param = object(&[("name", text(), ""), ("type", text(), "")]);
    let validator = object(&[
        ("id", text(), "What a column names"),
        ("name", text(), "What people read"),
        ("regex", any(), "The same as an expression, or null"),
        ("dataTypes", list(&text()), "Where it can stand"),
        ("params", list(&param), "What it can be told"),
    ]);
    let trial = object(&[
        ("validator?", any(), "{\"id\", \"params\"}"),
        ("regex?", text(), "An expression"),
        ("dataType?", text(), "The type of the column; by default STRING"),
        ("value", any(), "The value to try"),
    ]);
    let verdict = object(&[
        ("valid", flag(), "Whether it would be taken"),
        ("reason", any(), "Why not, or null"),
    ]);
    let shown = object(&[
        ("id", text(), ""),
        ("kind", word(&["identity", "check", "change", "clear"]), "What it does"),
        ("table", any(), "Which table"),
        ("column", any(), "Which column"),
        ("state", word(&["running", "done", "refused"]), "Refused: nothing has changed"),
        ("reason", any(), "Why it was refused, if not for objects in the way"),
        ("rows", number(), "Rows when it began"),
        ("done", number(), "Rows that have been looked at"),
        ("total", number(), "Rows that do not fit"),
        ("conflicts", list(&any()), "The first of them"),
        ("created", time(), "When it was asked for"),
    ]);
    vec![
        get(
            ("listValidators", "/console/datavalidators", "Lists the ready-made validators"),
            (Access::Developer, Token::Ignored),
            list_validators,
        )
        .gives(list(&validator)),
        post(
            ("tryValidator", "/datavalidators/try", "Tries a validator on a value"),
            MEMBER,
            try_validator,
        )
        .takes(trial)
        .gives(verdict)
        .refuses(&[3038]),
        get(
            ("listSchemaWork", "/schemawork", "Lists what goes on with tables, the latest first"),
            MEMBER,
            list_work,
        )
        .gives(list(&shown)),
        delete(
            ("cancelSchemaWork", "/schemawork/{id}", "Ends what goes on with a table"),
            MEMBER,
            cancel_work,
        )
        .refuses(&[3038]),
    ]
}

fn change_of(server: &Server, desk: &Desk) -> Result<Change> {
    Ok(Change::new(server.clone(), desk.app()?.clone(), desk.author()))
}

async fn tables_of(desk: Desk) -> Reply {
    let schema = desk.app()?.schema();
    let mut tables: Vec<_> = schema.tables().collect();
    // Users first, the others by name.
    tables.sort_by_key(|it| (!it.is_users(), it.name.clone()));
    let tables: Vec<Value> = tables.into_iter().map(|it| columns::shown_table(it)).collect();
    Answer::json(&json!({ "mode": "internal", "tables": tables }))
}

async fn create_table(State(server): State<Server>, desk: Desk, body: Body) -> Reply {
    let body = body.object()?;
    let name = body.get("name").and_then(Value::as_str).unwrap_or_default();
    let table = columns::create_table(&change_of(&server, &desk)?, name, Vec::new()).await?;
    Answer::json(&columns::shown_table(&table))
}

async fn rename_table(State(server): State<Server>, desk: Desk, names: Names, body: Body) -> Reply {
    let body = body.object()?;
    let name = body.get("name").and_then(Value::as_str).unwrap_or_default();
    let change = change_of(&server, &desk)?;
    let table = columns::rename_table(&change, names.get("table"), name).await?;
    Answer::json(&columns::shown_table(&table))
}

async fn delete_table(State(server): State<Server>, desk: Desk, names: Names) -> Reply {
    columns::drop_table(&change_of(&server, &desk)?, names.get("table")).await?;
    Ok(Answer::empty())
}

async fn create_column(
    State(server): State<Server>,
    desk: Desk,
    names: Names,
    body: Body,
) -> Reply {
    let wish = wish::read(&body.object()?)?;
    let change = change_of(&server, &desk)?;
    Answer::json(&shown_change(columns::add(&change, names.get("table"), wish).await?))
}

async fn change_column(
    State(server): State<Server>,
    desk: Desk,
    names: Names,
    body: Body,
) -> Reply {
    changed(&server, &desk, (names.get("table"), names.get("column")), body).await
}

async fn change_property(
    State(server): State<Server>,
    desk: Desk,
    names: Names,
    body: Body,
) -> Reply {
    changed(&server, &desk, (USERS, names.get("column")), body).await
}

async fn changed(server: &Server, desk: &Desk, (table, column): (&str, &str), body: Body) -> Reply {
    let wish = wish::read(&body.object()?)?;
    let done = columns::change(&change_of(server, desk)?, table, column, wish).await?;
    Answer::json(&shown_change(done))
}

fn shown_change(done: columns::Changed) -> Value {
    let mut answer = columns::shown(&done.column);
    if let Some(failing) = done.failing {
        answer["failing"] = json!({ "total": failing.total, "first": failing.first });
    }
    if let Some(work) = done.work {
        answer["work"] = json!(work);
    }
    answer
}

async fn delete_column(State(server): State<Server>, desk: Desk, names: Names) -> Reply {
    let change = change_of(&server, &desk)?;
    columns::drop_column(&change, names.get("table"), names.get("column")).await?;
    Ok(Answer::empty())
}

async fn properties(desk: Desk) -> Reply {
    let table = desk.app()?.users()?;
    Answer::json(&table.columns.iter().map(columns::shown).collect::<Vec<_>>())
}

async fn list_validators(_: Desk) -> Reply {
    let all: Vec<Value> = VALIDATORS
        .iter()
        .map(|it| {
            let params = it
                .params
                .iter()
                .map(|it| json!({ "name": it.name, "type": it.kind.as_str() }))
                .collect::<Vec<_>>();
            json!({
                "id": it.id,
                "name": it.name,
                "regex": it.regex,
                "dataTypes": it.kinds.iter().map(|it| it.as_str()).collect::<Vec<_>>(),
                "params": params,
            })
        })
        .collect();
    Answer::json(&all)
}

/// Says what a column with that validator or expression would say to a value.
async fn try_validator(_: Desk, body: Body) -> Reply {
    let body = body.object()?;
    let bad = |what: String| Error::bad_parameter(what);
    let word = body.get("dataType").and_then(Value::as_str).unwrap_or("STRING");
    let kind = wish::kind(word)?;
    let regex = body.get("regex").filter(|it| !it.is_null());
    let regex = regex.map(|it| it.as_str().ok_or_else(|| bad("regex must be a text".to_owned())));
    let custom_regex = regex.transpose()?.map(str::to_owned);
    let chosen = body.get("validator").filter(|it| !it.is_null());
    let chosen = chosen.map(|it| serde_json::from_value::<Chosen>(it.clone()));
    let validator = chosen
        .transpose()
        .map_err(|_| bad("validator must be {\"id\": …, \"params\": {…}}".to_owned()))?;
    if custom_regex.is_none() && validator.is_none() {
        return Err(bad("Send a validator or a regex, and a value".to_owned()));
    }
    let column =
        Column { custom_regex, validator, ..Column::blank("value", kind, Maker::Developer) };
    // What no column could have is refused here, too.
    wish::can_check(&column)?;
    let value = body.get("value").unwrap_or(&Value::Null);
    let reason = values::to_stored(&column, value).err().map(|it| it.message);
    Answer::json(&json!({ "valid": reason.is_none(), "reason": reason }))
}

async fn list_work(desk: Desk) -> Reply {
    let app = desk.app()?;
    let works = app.realm.data.read(|db| schema_work::latest(db, 50)).await?;
    let schema = app.schema();
    Answer::json(&works.iter().map(|it| shown_work(&schema, it)).collect::<Vec<_>>())
}

fn shown_work(schema: &crate::schema::Schema, work: &SchemaWork) -> Value {
    let table = schema.tables().find(|it| it.id == work.table);
    let column = table.and_then(|it| it.columns.iter().find(|it| it.id == work.column));
    json!({
        "id": work.id,
        "kind": work.kind,
        "table": table.map(|it| &it.name),
        "column": column.map(|it| &it.name),
        "state": work.state.as_str(),
        "reason": work.reason,
        "rows": work.total,
        "done": work.done,
        "total": work.conflicts,
        "conflicts": work.listed,
        "created": work.created.0,
    })
}

/// Ends work that is running, and has cleared away what it has left.
async fn cancel_work(State(server): State<Server>, desk: Desk, names: Names) -> Reply {
    let id = names.get("id").to_owned();
    let write = move |tx: &crate::store::Tx<'_>| work::cancel(tx, &server, &id);
    desk.app()?.realm.data.write(write).await?;
    Ok(Answer::empty())
}
