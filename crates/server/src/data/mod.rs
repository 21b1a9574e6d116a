//! Objects of any table, as far as accounts need them.

mod find;
pub mod grow;
mod save;

pub use find::{console_count, console_find, read_one};

use crate::web::{Access, Route, Token, get, post, put};

/// What this feature answers to.
pub fn routes() -> Vec<Route> {
    let seen = (Access::AnyKey, Token::Optional);
    vec![
        post(("find", "/data/{table}/find", "Finds objects"), seen, find::post_find),
        get(("list", "/data/{table}", "Finds objects"), seen, find::get_find),
        post(("count", "/data/{table}/count", "Counts objects"), seen, find::count),
        get(("countByGet", "/data/{table}/count", "Counts objects"), seen, find::count_by_get),
        get(("readObject", "/data/{table}/{id}", "Reads an object"), seen, find::read),
        put(("saveObject", "/data/{table}", "Adds an object"), seen, save::save),
        post(("createObject", "/data/{table}", "Adds an object"), seen, save::save),
    ]
}
