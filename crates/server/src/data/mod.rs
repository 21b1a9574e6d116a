//! Objects of any table: reading, saving, deleting, one or many; and the tables themselves.

pub mod bulk;
pub mod check;
pub mod clear;
pub mod columns;
mod describe;
mod find;
mod given;
pub mod grow;
mod ids;
mod operands;
pub mod save;
mod select;
mod where_clause;
pub mod work;
pub mod write;

pub use find::{console_count, console_find, find_table, query, read_one};

use serde_json::Value;

use crate::error::Error;
use crate::jobs::Kind;
use crate::users::deleted;
use crate::web::shape::{any, flag, list, named, number, object, text};
use crate::web::{Access, Route, Token, delete, get, post, put};

/// How often work on a column is tried without getting on: some hours.
pub const TRIES: i64 = 20;

/// The work of this feature that outlives a request.
pub fn jobs() -> Vec<Kind> {
    vec![
        Kind::new(columns::DROP, 100, columns::finish_drop),
        Kind::new(check::JOB, TRIES, check::run).or_else(work::given_up),
        Kind::new(work::JOB, TRIES, work::run).or_else(work::given_up),
        Kind::new(work::CLEAR, 100, work::clear),
        Kind::new(clear::JOB, 100, clear::run),
    ]
}

const SEEN: (Access, Token) = (Access::AnyKey, Token::Optional);

/// What this feature answers to.
pub fn routes() -> Vec<Route> {
    [reading(), writing(), in_bulk(), of_tables()].into_iter().flatten().collect()
}

fn reading() -> Vec<Route> {
    let row = named("Object");
    vec![
        post(("find", "/data/{table}/find", "Finds objects"), SEEN, find::post_find)
            .takes(page_shape())
            .gives(list(&row))
            .refuses(FIND),
        get(("list", "/data/{table}", "Finds objects"), SEEN, find::get_find)
            .reads(PAGE)
            .gives(list(&row))
            .refuses(FIND),
        post(("count", "/data/{table}/count", "Counts objects"), SEEN, find::count)
            .takes(count_shape())
            .gives(number())
            .refuses(COUNT),
        get(("countByGet", "/data/{table}/count", "Counts objects"), SEEN, find::count_by_get)
            .reads(&PAGE[..1])
            .gives(number())
            .refuses(COUNT),
        get(("readFirst", "/data/{table}/first", "Reads the first object"), SEEN, find::first)
            .reads(&PAGE[1..5])
            .gives(row.clone())
            .refuses(ENDS),
        get(("readLast", "/data/{table}/last", "Reads the last object"), SEEN, find::last)
            .reads(&PAGE[1..5])
            .gives(row.clone())
            .refuses(ENDS),
        get(
            ("readByKey", "/data/{table}/pk", "Reads an object by its key"),
            SEEN,
            find::read_by_key,
        )
        .reads(&[("objectId", "The object's id")])
        .gives(row.clone())
        .refuses(&[1000, 1006, 1009, 1013, 1017, 1107, 2000]),
        get(("readObject", "/data/{table}/{id}", "Reads an object"), SEEN, find::read)
            .reads(&PAGE[1..4])
            .gives(row)
            .refuses(&[1000, 1006, 1009, 1013, 1017, 2000]),
    ]
}

fn writing() -> Vec<Route> {
    let row = named("Object");
    vec![
        put(("saveObject", "/data/{table}", "Adds an object, or changes one"), SEEN, save::save)
            .takes(row.clone())
            .gives(row.clone())
            .refuses(SAVE),
        post(("createObject", "/data/{table}", "Adds an object"), SEEN, save::create)
            .takes(row.clone())
            .gives(row.clone())
            .refuses(SAVE),
        put(
            ("upsertObject", "/data/{table}/upsert", "Changes an object, or adds it with its id"),
            SEEN,
            save::upsert,
        )
        .takes(row.clone())
        .gives(row.clone())
        .refuses(SAVE),
        put(("updateObject", "/data/{table}/{id}", "Changes an object"), SEEN, save::update)
            .takes(row.clone())
            .gives(row)
            .refuses(SAVE),
        delete(("deleteObject", "/data/{table}/{id}", "Deletes an object"), SEEN, save::delete)
            .gives(deleted())
            .refuses(&[1000, 1009, 1014, 2000, 3038]),
    ]
}

fn in_bulk() -> Vec<Route> {
    let (row, ids) = (named("Object"), list(&text()));
    let one_table = "/data/bulk/{table}";
    let condition = object(&[("where", text(), "A condition; 1=1 is everything")]);
    vec![
        post(
            ("createMany", one_table, "Adds at most 1000 objects, all or none"),
            SEEN,
            bulk::create,
        )
        .takes(list(&row))
        .gives(ids.clone())
        .refuses(SAVE),
        put(
            (
                "upsertMany",
                "/data/bulkupsert/{table}",
                "Changes or adds at most 1000 objects, all or none",
            ),
            SEEN,
            bulk::upsert,
        )
        .takes(list(&row))
        .gives(ids)
        .refuses(SAVE),
        put(("updateMany", one_table, "Changes objects, all in the same way"), SEEN, bulk::update)
            .reads(WHICH)
            .takes(row)
            .gives(number())
            .refuses(BULK),
        post(("deleteMany", "/data/bulk/{table}/delete", "Deletes objects"), SEEN, bulk::delete)
            .takes(condition)
            .gives(number())
            .refuses(DELETE),
        delete(("deleteManyByQuery", one_table, "Deletes objects"), SEEN, bulk::delete_by_query)
            .reads(WHICH)
            .gives(number())
            .refuses(DELETE),
    ]
}

fn of_tables() -> Vec<Route> {
    let property = object(&[
        ("name", text(), "Its name"),
        ("required", flag(), "Whether an object must have it"),
        ("type", text(), "STRING, INT, DOUBLE, BOOLEAN, DATETIME, TEXT, JSON, …"),
        ("defaultValue", any(), "The value of an object that comes without one"),
        ("expression", any(), "Always null"),
        ("relatedTable", any(), "Always null"),
        ("customRegex", any(), "The expression that its values match, or null"),
        ("autoLoad", any(), "Always null"),
        ("isPrimaryKey", flag(), "Whether it is objectId"),
    ]);
    let server_code = (Access::ServerCode(Error::needs_server_key), Token::Optional);
    let table = object(&[
        ("name", text(), "Its name"),
        ("columns?", list(&any()), "Its columns, as the Console has them"),
    ]);
    vec![
        get(
            ("describeTable", "/data/{table}/properties", "Lists the columns of a table"),
            SEEN,
            describe::properties,
        )
        .gives(list(&property))
        .refuses(&[1009, 1015]),
        get(
            ("tableName", "/data/{table}/table-name", "Tells the name of a table by its id"),
            SEEN,
            describe::table_name,
        )
        .gives(text())
        .refuses(&[1009, 1015]),
        post(
            ("makeTable", "/management/data/table", "Makes a table with its columns"),
            server_code,
            describe::create_table,
        )
        .takes(table.clone())
        .gives(table)
        .refuses(&[1135, 1154, 1161, 3038, 3039, 8044]),
    ]
}

/// What a request for a page has in its body.
pub fn page_shape() -> Value {
    object(&[
        ("where?", text(), "A condition, such as age >= 18 and name like 'A%'"),
        (
            "props?",
            any(),
            "Columns and calculations, as a list or with commas between; * is all; column as name",
        ),
        ("property?", any(), "Columns, shown beside objectId"),
        ("excludeProps?", any(), "Columns to leave out"),
        ("sortBy?", any(), "Columns and calculations, each with asc or desc"),
        ("distinct?", flag(), "Whether objects that show the same count once"),
        ("pageSize?", number(), "Objects at most, 1 to 100; by default 10, in the Console 15"),
        ("offset?", number(), "Objects to leave out before them"),
    ])
}

/// What a request for a count has in its body.
pub fn count_shape() -> Value {
    object(&[("where?", text(), "A condition, such as age >= 18 and name like 'A%'")])
}

/// The same in a query.
const PAGE: &[(&str, &str)] = &[
    ("where", "A condition, such as age >= 18 and name like 'A%'"),
    ("props", "Columns and calculations, with commas between; * is all; column as name"),
    ("property", "A column, shown beside objectId; may be repeated"),
    ("excludeProps", "Columns to leave out, with commas between"),
    ("sortBy", "Columns, each with asc or desc, with commas between"),
    ("distinct", "true: objects that show the same count once"),
    ("pageSize", "Objects at most, 1 to 100; by default 10"),
    ("offset", "Objects to leave out before them"),
];
const WHICH: &[(&str, &str)] = &[("where", "A condition; 1=1 is everything")];
const COUNT: &[u32] = &[1006, 1009, 1013, 1017, 2000];
const FIND: &[u32] = &[1004, 1005, 1006, 1009, 1013, 1017, 1025, 2000];
const ENDS: &[u32] = &[1006, 1009, 1010, 1013, 1017, 2000];
/// Writing an object; a user is registered or changed, with the refusals of that.
pub const SAVE: &[u32] = &[
    999, 1000, 1001, 1007, 1009, 1011, 1012, 1021, 1038, 1101, 1110, 1137, 1155, 1165, 2000, 3009,
    3011, 3012, 3013, 3018, 3029, 3033, 3038, 3039, 3040, 3045, 8023, 8044, 20041, 20043,
];
const BULK: &[u32] = &[
    1001, 1006, 1007, 1009, 1012, 1017, 1021, 1036, 1038, 1110, 1137, 1155, 1165, 2000, 3038, 3039,
    3040, 3045, 3098, 8023, 20041, 20043,
];
const DELETE: &[u32] = &[1006, 1009, 1014, 1017, 2000, 3038];
