//! Objects of any table, as far as accounts need them.

pub mod check;
pub mod columns;
mod find;
pub mod grow;
mod save;
pub mod work;

pub use find::{console_count, console_find, read_one};
pub use save::create_plain;

use serde_json::Value;

use crate::jobs::Kind;
use crate::users::deleted;
use crate::web::shape::{list, named, number, object, text};
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
    ]
}

/// What this feature answers to.
pub fn routes() -> Vec<Route> {
    let seen = (Access::AnyKey, Token::Optional);
    let row = named("Object");
    vec![
        post(("find", "/data/{table}/find", "Finds objects"), seen, find::post_find)
            .takes(page_shape())
            .gives(list(&row))
            .refuses(FIND),
        get(("list", "/data/{table}", "Finds objects"), seen, find::get_find)
            .reads(PAGE)
            .gives(list(&row))
            .refuses(FIND),
        post(("count", "/data/{table}/count", "Counts objects"), seen, find::count)
            .takes(count_shape())
            .gives(number())
            .refuses(COUNT),
        get(("countByGet", "/data/{table}/count", "Counts objects"), seen, find::count_by_get)
            .reads(&PAGE[..1])
            .gives(number())
            .refuses(COUNT),
        get(("readObject", "/data/{table}/{id}", "Reads an object"), seen, find::read)
            .gives(row.clone())
            .refuses(&[1000, 1009, 1013, 2000]),
        put(("saveObject", "/data/{table}", "Adds an object, or changes a user"), seen, save::save)
            .takes(row.clone())
            .gives(row.clone())
            .refuses(SAVE),
        post(("createObject", "/data/{table}", "Adds an object"), seen, save::create)
            .takes(row.clone())
            .gives(row.clone())
            .refuses(ADD),
        put(("updateObject", "/data/{table}/{id}", "Changes a user"), seen, save::update)
            .takes(row.clone())
            .gives(row)
            .refuses(&[
                1000, 1007, 1012, 1155, 2000, 3018, 3029, 3038, 3039, 3040, 3045, 8023, 20041,
                20043,
            ]),
        delete(("deleteObject", "/data/{table}/{id}", "Deletes a user"), seen, save::delete)
            .gives(deleted())
            .refuses(&[1000, 1014, 2000, 3038]),
    ]
}

/// What a request for a page has in its body.
pub fn page_shape() -> Value {
    object(&[
        ("where?", text(), "A condition; not served yet"),
        ("props?", list(&text()), "Columns; * is all"),
        ("sortBy?", list(&text()), "Columns, each with asc or desc"),
        ("pageSize?", number(), "Objects at most, 1 to 100; by default 10"),
        ("offset?", number(), "Objects to leave out before them"),
    ])
}

/// What a request for a count has in its body.
pub fn count_shape() -> Value {
    object(&[("where?", text(), "A condition; not served yet")])
}

/// The same in a query.
const PAGE: &[(&str, &str)] = &[
    ("where", "A condition; not served yet"),
    ("props", "Columns, with commas between; * is all"),
    ("sortBy", "Columns, each with asc or desc, with commas between"),
    ("pageSize", "Objects at most, 1 to 100; by default 10"),
    ("offset", "Objects to leave out before them"),
];
const COUNT: &[u32] = &[1009, 1013, 1017, 2000];
const FIND: &[u32] = &[1004, 1005, 1006, 1009, 1013, 1017, 1025, 2000];
/// Adding a user is a registration, with its refusals.
const ADD: &[u32] = &[
    999, 1007, 1009, 1011, 1155, 2000, 3011, 3012, 3013, 3033, 3038, 3039, 3040, 3045, 8023, 20041,
    20043,
];
/// The same, or changing one who is there.
const SAVE: &[u32] = &[
    999, 1000, 1007, 1009, 1011, 1012, 1155, 2000, 3011, 3012, 3013, 3018, 3029, 3033, 3038, 3039,
    3040, 3045, 8023, 20041, 20043,
];
