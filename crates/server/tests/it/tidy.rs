//! What holds the house together: reads the sources, and names the line that breaks a rule of
//! `ARCHITECTURE.md`.

use std::collections::BTreeSet;

use super::source::{Kind, Source, files, has_ending, root, text};

/// The floors, from the top: a module uses its own floor and those below. `ARCHITECTURE.md` draws
/// the same table.
const FLOORS: &[(&str, &[&str])] = &[
    ("the whole, put together", &["start", "control", "scrape", "reference"]),
    ("every route, once", &["router"]),
    ("features", &["login", "users", "data", "console", "health"]),
    ("what features share", &["sessions", "jobs", "roles"]),
    ("a handler's vocabulary", &["web"]),
    ("the state", &["server", "apps", "live", "cluster", "events"]),
    ("the world outside", &["store"]),
    (
        "leaves: pure, or nearly",
        &[
            "error", "buckets", "lines", "clock", "ids", "settings", "config", "schema",
            "password", "secret", "json", "address", "metrics",
        ],
    ),
];

/// What only some may name: the path, who may (a module with all that is in it), and why.
const OWNED: &[(&str, &[&str], &str)] = &[
    ("crate::store::sessions::insert", &["sessions"], "every way in ends in `sessions::open`"),
    ("crate::store::users::note_login", &["sessions"], "only `sessions::open` notes a login"),
    ("crate::store::users::lock", &["users::write", "sessions"], USERS),
    ("crate::store::objects::insert", ROWS, USERS),
    ("crate::store::objects::update", ROWS, USERS),
    ("crate::store::objects::delete_many", &["data"], USERS),
    ("crate::store::objects::delete", ROWS, USERS),
    ("crate::store::query::update", ROWS, USERS),
    ("crate::store::query::delete", ROWS, USERS),
    ("crate::store::events::insert", &["events"], "an event is written by `events::record`"),
    ("engine::Db", &["store"], SQL),
    ("engine::Tx", &["store"], SQL),
    ("engine::Row", &["store"], SQL),
    ("engine::Built", &["store"], SQL),
    ("engine::Flow", &["store"], SQL),
    ("engine::ToValue", &["store"], SQL),
    ("engine::FromValue", &["store"], SQL),
    ("engine::Database", &["store"], "databases are opened by `apps` and had from it"),
    ("engine::Cell", &["apps", "server", "start"], "only `apps` opens databases"),
    ("sea_query", &["store"], SQL),
    ("axum", &["web"], "HTTP stops at `web`"),
    ("hyper", &["web"], "HTTP stops at `web`"),
    ("hyper_util", &["web"], "HTTP stops at `web`"),
    ("tower", &["web"], "HTTP stops at `web`"),
    ("std::time::SystemTime", &["clock"], "time comes from `server.clock`"),
    ("rustix::time", &["clock"], "time comes from `server.clock`"),
    ("jiff::Timestamp::now", &[], "time comes from `server.clock`"),
    ("jiff::Zoned::now", &[], "time comes from `server.clock`"),
    ("getrandom", &["ids"], "randomness comes from `server.random`"),
    ("rand", &[], "randomness comes from `server.random`"),
    ("uuid", &[], "ids come from `server.random`"),
];
const USERS: &str = "every change of a user is made by `users::write`";
const SQL: &str = "SQL is the store's";
/// Whatever these say about a user in a transaction, `users::write` says.
const ABOUT_USERS: &[&str] = &["users", "identities", "credentials"];
/// The rows of `Users` are written by `users::write`; `data` writes those of all other tables.
const ROWS: &[&str] = &["users::write", "data"];

/// Entries of [`OWNED`] that somebody else may use, once: the module, the path, and why.
const EXCEPTIONS: &[(&str, &str, &str)] =
    &[("scrape", "axum", "metrics are served apart from the API, by a listener of its own")];

/// Methods that only some may call on `tx`, `db` or a cell: they are SQL, or open a database.
const METHODS: &[(&[&str], &[&str], &[&str])] = &[
    (&["tx", "db"], &["exec", "exec_built", "row", "rows", "each", "batch"], &["store"]),
    (&["passwords"], &["check"], &["sessions::brake"]),
    (&["cell"], &["database", "create_place", "drop_place"], &["apps"]),
];

/// Constructors of sea-query that take SQL as text. Identifiers and values have their own.
const RAW: &[&str] =
    &["cust", "cust_with_values", "cust_with_expr", "cust_with_exprs", "custom_keyword", "raw_sql"];

/// What may stand in braces in a statement, beside constants: pieces of the dialect, and names out
/// of the catalog and of the store's own tables.
const HOLES: &[&str] = &[
    "text", "int", "bool", "json", "bytes", "strict", "lock", "skip", "position", "now", "since",
    "table", "columns", "quoted", "kind", "key",
];

/// The database's own clock and dice: statements take both as values.
const IMPURE: &[&str] = &["now()", "current_timestamp", "'now'", "clock_timestamp", "random()"];
/// Decision 10: a node corrects its clock by the database's at each poll of the change log.
const CLOCK_OF_THE_DATABASE: &str = "store/changes.rs";

/// Files with more lines than [`MOST_LINES`], and why they are one subject.
const LONG: &[(&str, &str)] = &[
    ("crates/hashes/src/pool.rs", "the pool's state machine, and the half that is its tests"),
    ("crates/engine/tests/suite.rs", "one suite for both engines"),
    (
        "crates/server/tests/it/differential.rs",
        "one evaluator of conditions, and what it is held against",
    ),
    ("crates/server/tests/it/jobs.rs", "one promise, run at least once, under all that can happen"),
];
const MOST_LINES: usize = 700;

fn server() -> Vec<Source> {
    let sources = Source::of_crate("crates/server/src");
    assert!(sources.len() > 50, "the sources are there");
    sources
}

fn floor(module: &str) -> Option<usize> {
    FLOORS.iter().position(|it| it.1.contains(&module))
}

/// Whether `module` is `place` or lies in it.
fn is_in(module: &str, place: &str) -> bool {
    module.strip_prefix(place).is_some_and(|it| it.is_empty() || it.starts_with("::"))
}

#[track_caller]
fn none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

fn who_looks_up(source: &Source) -> Vec<String> {
    let Some(own) = floor(source.top()) else { return Vec::new() };
    let above = source.names.iter().filter_map(|it| {
        let named = it.path.strip_prefix("crate::")?.split("::").next()?;
        let up = floor(named).is_some_and(|it| it < own);
        up.then(|| format!("`{}` looks up to `{named}` (line {})", source.file, it.line))
    });
    above.collect()
}

fn who_takes_what_is_not_theirs(source: &Source) -> Vec<String> {
    let (file, mut complaints) = (&source.file, Vec::new());
    let written = written_about_users();
    let about_users = written.iter().map(|it| (it.as_str(), &["users::write"][..], USERS));
    let owned = OWNED
        .iter()
        .copied()
        .chain(about_users.filter(|it| OWNED.iter().all(|named| named.0 != it.0)));
    for (path, owners, why) in owned {
        let mine = owners.iter().any(|it| is_in(&source.module, it));
        if mine || EXCEPTIONS.iter().any(|it| is_in(&source.module, it.0) && it.1 == path) {
            continue;
        }
        for named in source.names.iter().filter(|it| !it.test && is_in(&it.path, path)) {
            complaints.push(format!("`{file}` uses `{path}` (line {}): {why}", named.line));
        }
    }
    for (object, method) in source.calls().filter(|it| !it.1.test) {
        for (objects, methods, owners) in METHODS {
            let owned = owners.iter().any(|it| is_in(&source.module, it));
            if objects.contains(&object) && methods.contains(&&*method.text) && !owned {
                let (line, owner) = (method.line, owners[0]);
                complaints.push(format!(
                    "`{file}` calls `{object}.{}` (line {line}): only `{owner}` does",
                    method.text
                ));
            }
        }
    }
    complaints
}

/// The functions of [`ABOUT_USERS`] that write: those that need a transaction.
fn written_about_users() -> Vec<String> {
    let mut found = Vec::new();
    for file in ABOUT_USERS {
        let source = text(&format!("crates/server/src/store/{file}.rs"));
        for function in source.split("\npub fn ").skip(1) {
            let (name, told) = function.split_once('(').unwrap();
            if told.trim_start().starts_with("tx:") {
                found.push(format!("crate::store::{file}::{name}"));
            }
        }
    }
    assert!(found.len() > 4, "{found:?}");
    found
}

fn is_sql(text: &str) -> bool {
    let text = text.trim_start_matches(['b', 'r', '#', '"']).trim_start().to_ascii_lowercase();
    let mut words = text.split_whitespace();
    let (first, second) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let third = words.next().unwrap_or_default();
    match (first, second) {
        ("select", _) => text.contains(" from ") || third.starts_with('('),
        ("update", _) => third == "set",
        ("insert", "into") | ("delete", "from") | ("pragma", _) => true,
        ("create" | "alter" | "drop", _) => {
            ["table", "index", "schema", "unique", "view"].contains(&second)
        }
        _ => false,
    }
}

fn who_writes_sql(source: &Source) -> Vec<String> {
    let (file, mut complaints) = (&source.file, Vec::new());
    let store = source.top() == "store";
    for raw in source.tokens.iter().filter(|it| it.kind == Kind::Word) {
        if RAW.contains(&&*raw.text) {
            let line = raw.line;
            complaints.push(format!("`{file}` makes SQL of text, `{}` (line {line})", raw.text));
        }
    }
    for text in source.texts().filter(|it| is_sql(&it.text)) {
        let (line, lower) = (text.line, text.text.to_ascii_lowercase());
        if !store {
            complaints.push(format!("`{file}` writes SQL (line {line}): {SQL}"));
        }
        let holes = text.text.split('{').skip(1).filter_map(|it| it.split('}').next());
        let constant =
            |it: &&str| !it.is_empty() && it.chars().all(|it| it.is_ascii_uppercase() || it == '_');
        for hole in holes.filter(|it| !HOLES.contains(it) && !constant(it)) {
            complaints.push(format!("`{file}` puts `{{{hole}}}` into SQL (line {line}): bind it"));
        }
        if let Some(impure) = IMPURE.iter().find(|it| lower.contains(**it))
            && file != CLOCK_OF_THE_DATABASE
        {
            complaints.push(format!("`{file}` asks the database for `{impure}` (line {line})"));
        }
    }
    complaints
}

#[test]
fn the_rules_find_what_they_are_for() {
    let complaints = |file: &str, text: &str| {
        let source = Source::new(file, text);
        let all = [who_looks_up, who_takes_what_is_not_theirs, who_writes_sql];
        all.iter().flat_map(|it| it(&source)).collect::<Vec<_>>().join("; ")
    };
    for (file, text, expected) in [
        (
            "store/users.rs",
            "use crate::web::Caller;",
            "`store/users.rs` looks up to `web` (line 1)",
        ),
        ("web/caller.rs", "use crate::{clock,\nlogin::{self}};", "looks up to `login` (line 2)"),
        ("apps.rs", "fn f() { crate::sessions::open() }", "`apps.rs` looks up to `sessions`"),
        ("users/mod.rs", "use super::router;", "`users/mod.rs` looks up to `router`"),
        ("clock.rs", "mod tests { use crate::store; }", "`clock.rs` looks up to `store`"),
        ("login/a.rs", "use crate::store::sessions; fn f() { sessions::insert() }", "every way in"),
        ("data/save.rs", "use crate::store::*; fn f() { crate::store::credentials::set() }", USERS),
        ("login/a.rs", "use crate::store::{self as s}; fn f() { s::objects::update() }", USERS),
        ("users/status.rs", "use crate::store::users::{lock as hold};", USERS),
        ("live.rs", "use engine::Tx;", SQL),
        ("data/find.rs", "use sea_query::Expr;", SQL),
        ("login/a.rs", "fn f() { tx.exec(sql, &[]) }", "only `store` does"),
        ("login/a.rs", "fn f() { server.cell.database(scope) }", "only `apps` does"),
        ("login/a.rs", "use std::time::{Duration, SystemTime};", "server.clock"),
        ("login/a.rs", "fn f() { getrandom::fill(&mut x) }", "server.random"),
        ("login/a.rs", r#"const A: &str = "select a from b";"#, "writes SQL"),
        ("store/a.rs", r#"fn f() { format!("select a from b where c = {c}") }"#, "bind it"),
        ("store/a.rs", r#"fn f() { format!("delete from a where b = {}", b) }"#, "bind it"),
        ("store/a.rs", r#"const A: &str = "update a set b = now()";"#, "asks the database"),
        ("store/a.rs", "fn f() { Expr::cust(x) }", "makes SQL of text"),
    ] {
        let found = complaints(file, text);
        assert!(found.contains(expected), "{file}: {text}\n{found}");
    }
    for (file, text) in [
        ("web/caller.rs", "use crate::{clock, store::{self}}; use super::routes;"),
        ("sessions/mod.rs", "use crate::store; fn f() { store::sessions::insert() }"),
        ("users/write.rs", "use crate::store::credentials; fn f() { credentials::set() }"),
        ("store/a.rs", r#"const A: &str = "select a from b where c = ?1{lock}";"#),
        ("login/a.rs", r#"const A: &str = "Select one, or update the page";"#),
        ("login/a.rs", "// crate::router\nfn f() { x.exec(); crate::events::record() }"),
    ] {
        assert_eq!(complaints(file, text), "", "{file}: {text}");
    }
}

#[test]
fn a_module_uses_its_own_floor_and_those_below() {
    let mut complaints: Vec<String> = server().iter().flat_map(who_looks_up).collect();
    for source in server().iter().filter(|it| !it.top().is_empty()) {
        if floor(source.top()).is_none() {
            let top = source.top();
            complaints
                .push(format!("`{top}` stands on no floor: give it one, here and in the map"));
        }
    }
    let architecture = text("ARCHITECTURE.md");
    for (what, modules) in FLOORS {
        let drawn = architecture.lines().any(|line| {
            let words: BTreeSet<&str> = line.split_whitespace().collect();
            line.contains(what) && modules.iter().all(|it| words.contains(it))
        });
        if !drawn {
            complaints
                .push(format!("ARCHITECTURE.md does not draw the floor of {modules:?}: {what}"));
        }
    }
    none(&complaints);
}

#[test]
fn what_one_module_keeps_nobody_else_uses() {
    none(&server().iter().flat_map(who_takes_what_is_not_theirs).collect::<Vec<_>>());
}

#[test]
fn sql_is_written_in_the_store_and_holds_no_text_of_a_client() {
    none(&server().iter().flat_map(who_writes_sql).collect::<Vec<_>>());
}

#[test]
fn every_file_says_what_it_is_for_and_is_part_of_the_build() {
    let mut complaints = Vec::new();
    let all: Vec<String> = [files("crates"), files("xtask")].concat();
    for file in all.iter().filter(|it| has_ending(it, "rs")) {
        let content = text(file);
        let first = content.lines().next().unwrap_or_default();
        if !first.starts_with("//! ") || first.len() < 15 {
            complaints.push(format!("{file} does not open with a line on what it is for"));
        }
        let lines = content.lines().count();
        if lines > MOST_LINES && !LONG.iter().any(|it| it.0 == file) {
            complaints.push(format!("{file} has {lines} lines: is it one subject?"));
        }
        // A file that no `mod` names is never compiled, and its tests never run.
        let (folder, name) = file.rsplit_once('/').unwrap();
        let name = name.trim_end_matches(".rs");
        let (folder, name) = match (name, folder.rsplit_once('/')) {
            ("mod", Some((outer, inner))) => (outer, inner),
            _ => (folder, name),
        };
        let is_root = ["lib", "main"].contains(&name)
            || folder.ends_with("/examples")
            || folder.ends_with("/tests")
            || folder.ends_with("/bin");
        let beside = format!("{folder}.rs");
        let parents = ["lib", "main", "mod"].map(|it| format!("{folder}/{it}.rs"));
        let mut parents = parents.iter().chain([&beside]).filter(|it| all.contains(it));
        let declared = format!("mod {name};");
        if !is_root && !parents.any(|it| text(it).contains(&declared)) {
            complaints.push(format!("{file} is part of nothing: no `{declared}` names it"));
        }
    }
    none(&complaints);
    assert!(LONG.iter().all(|it| root().join(it.0).is_file()), "an exception for nothing");
}

#[test]
fn code_that_runs_does_not_panic_by_choice() {
    /// `ids.rs`: without randomness no secret may be made.
    const EXPECTED: &[(&str, &str)] = &[("crates/server/src", "ids.rs")];
    let mut complaints = Vec::new();
    for folder in ["server", "engine", "hashes", "clause"].map(|it| format!("crates/{it}/src")) {
        for source in Source::of_crate(&folder) {
            let excepted = EXPECTED.contains(&(&*folder, &*source.file));
            for pair in source.tokens.windows(2).filter(|it| !it[0].test) {
                let (first, second) = (pair[0].text.as_str(), pair[1].text.as_str());
                let name = if second == "!" { first } else { second };
                let method = ["unwrap", "expect", "unwrap_err", "expect_err"];
                let shout = ["todo", "unimplemented", "dbg", "panic", "unreachable"];
                if !(first == "." && method.contains(&name)
                    || second == "!" && shout.contains(&name))
                {
                    continue;
                }
                if !(excepted && name == "expect") {
                    let (file, line) = (&source.file, pair[0].line);
                    complaints.push(format!("{folder}/{file}, line {line}: `{name}`"));
                }
            }
        }
    }
    none(&complaints);
}

#[test]
fn what_the_documents_name_is_there() {
    let mut complaints = Vec::new();
    let documents = files("").into_iter().filter(|it| has_ending(it, "md"));
    for document in documents.filter(|it| !it.starts_with("conformance/node_modules")) {
        let folder = document.rsplit_once('/').map_or("", |it| it.0);
        let content = text(&document);
        let links = content.split("](").skip(1).filter_map(|it| it.split([')', '#']).next());
        for link in links.filter(|it| !it.is_empty() && !it.contains("://")) {
            if !root().join(folder).join(link).exists() {
                complaints.push(format!("{document} links to {link}, which is not there"));
            }
        }
        // In the map every path counts; elsewhere those that begin at the root.
        let map = document == "ARCHITECTURE.md";
        let begins = ["crates/", "docs/", "xtask/", "conformance/", "examples/", "fuzz/"];
        for quoted in content.split('`').skip(1).step_by(2) {
            let path = quoted.trim_end_matches('/');
            let plain = !quoted.contains([' ', '{', '<', '*', '…', ':', '\n']);
            let path_like = map && path.contains('/') && !path.starts_with('/');
            let path_like = path_like || begins.iter().any(|it| quoted.starts_with(it));
            if plain && path_like && !root().join(path).exists() {
                complaints.push(format!("{document} names {quoted}, which is not there"));
            }
        }
    }
    none(&complaints);
}

/// The lines of `docs/security-lines.md`: all that hold from the first release on.
const LINES: &[(&str, &[u8])] = &[
    ("PW", &[1, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
    ("E", &[1, 2, 4, 5]),
    ("T", &[1, 2, 3, 4, 5, 6, 7]),
    ("S", &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14]),
    ("I", &[1, 2, 3, 4, 6, 7]),
];

#[test]
fn every_security_line_names_tests_that_are_there() {
    let sources: Vec<Source> = ["server/src", "server/tests/it", "hashes/src"]
        .iter()
        .flat_map(|it| Source::of_crate(&format!("crates/{it}")))
        .collect();
    // A test is a function whose attributes say so.
    let mut tests: BTreeSet<&str> = BTreeSet::new();
    for source in &sources {
        for (place, pair) in source.tokens.windows(2).enumerate().filter(|it| it.1[0].text == "fn")
        {
            let before = &source.tokens[place.saturating_sub(8)..place];
            let words: Vec<&str> = before.iter().map(|it| it.text.as_str()).collect();
            if words.windows(2).any(|it| it == ["test", "]"]) {
                tests.insert(&pair[1].text);
            }
        }
    }
    assert!(tests.len() > 200, "{} tests", tests.len());
    let page = text("docs/security-lines.md");
    let rows: Vec<Vec<&str>> = page
        .lines()
        .filter(|it| it.starts_with("| ") && !it.starts_with("| Line"))
        .map(|it| it.trim_matches('|').split(" | ").map(str::trim).collect())
        .collect();
    let wanted: Vec<String> = LINES
        .iter()
        .flat_map(|(part, all)| all.iter().map(move |it| format!("{part}-{it}")))
        .collect();
    let told: Vec<&str> = rows.iter().map(|it| it[0]).filter(|it| *it != "table").collect();
    assert_eq!(told, wanted, "each line has a row");
    let mut complaints = Vec::new();
    for row in &rows {
        let named: Vec<&str> = row[2].split('`').skip(1).step_by(2).collect();
        if named.is_empty() {
            complaints.push(format!("{} names no test", row[0]));
        }
        for name in named.iter().filter(|it| !tests.contains(*it)) {
            complaints.push(format!("{} names {name}, which is no test", row[0]));
        }
    }
    none(&complaints);
}

#[test]
fn every_migration_is_run() {
    let runner = text("crates/server/src/store/migrate.rs");
    for file in files("crates/server/src/store/migrations") {
        let name = file.rsplit('/').next().unwrap();
        assert!(runner.contains(&format!("migrations/{name}")), "store/migrate.rs lacks {name}");
    }
}

#[test]
fn leaf_crates_know_nothing_of_the_server() {
    for (leaf, may) in [("clause", &[][..]), ("engine", &[]), ("hashes", &[])] {
        let manifest: toml::Table = text(&format!("crates/{leaf}/Cargo.toml")).parse().unwrap();
        for part in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let named = manifest.get(part).and_then(toml::Value::as_table).into_iter().flatten();
            for (name, _) in named {
                let ours = ["server", "engine", "clause", "hashes"].contains(&name.as_str());
                let http = ["axum", "hyper", "http", "tower"].contains(&name.as_str());
                let allowed = may.contains(&name.as_str());
                assert!(allowed || !(ours || http), "{leaf} must stay a leaf, not use {name}");
            }
        }
    }
}

#[test]
fn no_file_names_a_folder_of_somebodys_machine() {
    // In pieces, so that this file does not find itself.
    let homes = ["/ho~me/", "/ro~ot/", "/Us~ers/", "/wo~rk/", "/tm~p/wt", "C:~\\"];
    let homes = homes.map(|it| it.replace('~', ""));
    let mut complaints = Vec::new();
    for file in files("").iter().filter(|it| *it != ".git") {
        let content = text(file);
        for (number, line) in content.lines().enumerate() {
            // Addresses of the Console and of the table of users are no folders.
            let addresses = [
                "/home/login",
                "/home/logout",
                "/home/myaccount",
                "/data/Users/",
                "/tables/Users/",
                "/bulk/Users/",
            ];
            let line = addresses.iter().fold(line.to_owned(), |line, it| line.replace(it, ""));
            if let Some(home) = homes.iter().find(|it| line.contains(*it)) {
                complaints.push(format!("{file}, line {}: {home}", number + 1));
            }
        }
    }
    none(&complaints);
}
