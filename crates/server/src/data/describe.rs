//! Which columns a table has, as clients ask.
//!
//! Wire: data-api 1.4.

use serde_json::{Value, json};

use super::columns;
use super::find::find_table;
use crate::error::{Error, Result};
use crate::roles::{self, Decision, Operation};
use crate::schema::{Column, wish};
use crate::server::Server;
use crate::users::write::Change;
use crate::web::{Answer, Body, Caller, Names, Reply, State};

/// All columns of a table. Fails with 1015 and 1009.
pub async fn properties(caller: Caller, names: Names) -> Reply {
    let name = names.get("table");
    is_allowed(&caller, name)?;
    let table = find_table(&caller.app, name)?;
    Answer::json(&table.columns.iter().map(described).collect::<Vec<_>>())
}

fn described(column: &Column) -> Value {
    json!({
        "name": column.name,
        "required": column.rules.required,
        "type": column.kind.as_str(),
        "defaultValue": column.default,
        "expression": null,
        "relatedTable": null,
        "customRegex": column.custom_regex,
        "autoLoad": null,
        "isPrimaryKey": column.name == "objectId",
    })
}

/// The name of the table with that id.
pub async fn table_name(caller: Caller, names: Names) -> Reply {
    let id = names.get("table");
    let schema = caller.app.schema();
    let table = schema.tables().find(|it| it.id == id);
    // Whether it is there is told to those alone who may know its columns.
    is_allowed(&caller, table.map_or("", |it| &*it.name))?;
    let table = table.ok_or_else(|| Error::no_such_table(id))?;
    Answer::json(&json!(table.name))
}

fn is_allowed(caller: &Caller, table: &str) -> Result<()> {
    match roles::may(caller, Operation::Describe, table) {
        Decision::Allow => Ok(()),
        Decision::Own | Decision::Deny => Err(Error::describe_denied(table)),
    }
}

/// Makes a table with its columns, for server code.
pub async fn create_table(State(server): State<Server>, caller: Caller, body: Body) -> Reply {
    let body = body.object()?;
    let name = body.get("name").and_then(Value::as_str).unwrap_or_default();
    let mut wishes = Vec::new();
    match body.get("columns") {
        None | Some(Value::Null) => {}
        Some(Value::Array(list)) => {
            for one in list {
                let one = one.as_object().ok_or_else(Error::bad_list)?;
                wishes.push(wish::read(one)?);
            }
        }
        Some(_) => return Err(Error::bad_list()),
    }
    let change = Change::new(server, caller.app.clone(), caller.author());
    let table = columns::create_table(&change, name, wishes).await?;
    Answer::json(&columns::shown_table(&table))
}
