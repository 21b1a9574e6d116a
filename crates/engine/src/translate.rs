//! One SQL text for both engines: translates what is written by hand.
//!
//! | written | SQLite | PostgreSQL |
//! |---|---|---|
//! | `?1` | `?1` | `$1` |
//! | `sys.NAME`, `control.NAME` | `"sys.NAME"`, `"control.NAME"` | as written |
//! | `app.NAME`, `app."NAME"` | `"NAME"` | `"a_<id>"."NAME"` |
//! | `create index sys.NAME on …` | `"sys.NAME"` | `NAME` (an index lies where its table does) |
//! | `{index:NAME}` | `"sys.NAME"` | `NAME` |
//! | `{int}`, `{text}`, `{bytes}`, `{bool}`, `{real}`, `{json}`, `{strict}`, `{auto}`, `{seq}`, `{changes}` | see `Dialect` | see `Dialect` |
//!
//! `sys`, `control` and `app` count in lower case only and never after a dot; do not use them as an
//! alias. String literals, quoted identifiers and comments stay as they are. A dot can never be in
//! the name of a user's table, so on SQLite system and users' tables cannot collide.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, PoisonError, RwLock};

use crate::dialect::Dialect;
use crate::error::{Error, Result};
use crate::scope::Place;

/// Texts that are remembered; a program has some hundreds.
const CACHED: usize = 4096;

/// Translates, and remembers what it has translated.
#[derive(Debug)]
pub(crate) struct Translator {
    dialect: Dialect,
    cache: RwLock<HashMap<Box<str>, Arc<Template>>>,
}

/// A translated text; where users' tables go, the place is still open.
#[derive(Debug, PartialEq)]
enum Template {
    Whole(Arc<str>),
    Parts(Vec<Part>),
}

#[derive(Debug, PartialEq)]
enum Part {
    Text(String),
    /// A user's table, by its name.
    Table(String),
}

impl Translator {
    pub(crate) fn new(dialect: Dialect) -> Self {
        Self { dialect, cache: RwLock::default() }
    }

    pub(crate) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// `sql` for the engine and `place`. Fails for an unknown token, and for a user's table in the
    /// platform's place.
    pub(crate) fn translate(&self, sql: &str, place: &Place) -> Result<Arc<str>> {
        let known = self.cache.read().unwrap_or_else(PoisonError::into_inner).get(sql).cloned();
        if let Some(template) = known {
            return template.at(self.dialect, place);
        }
        let template = Arc::new(parse(self.dialect, sql)?);
        let mut cache = self.cache.write().unwrap_or_else(PoisonError::into_inner);
        if cache.len() >= CACHED {
            cache.clear();
        }
        cache.insert(sql.into(), Arc::clone(&template));
        drop(cache);
        template.at(self.dialect, place)
    }

    /// The same for a text that is not worth remembering.
    pub(crate) fn translate_once(&self, sql: &str, place: &Place) -> Result<Arc<str>> {
        parse(self.dialect, sql)?.at(self.dialect, place)
    }
}

impl Template {
    fn at(&self, dialect: Dialect, place: &Place) -> Result<Arc<str>> {
        let parts = match self {
            Self::Whole(text) => return Ok(Arc::clone(text)),
            Self::Parts(parts) => parts,
        };
        let Some(app) = place.app()? else {
            return Err(Error::other("a user's table (app.…) is named where there is none"));
        };
        let mut text = String::new();
        for part in parts {
            match (part, dialect) {
                (Part::Text(it), _) => text.push_str(it),
                (Part::Table(name), Dialect::Sqlite) => text.push_str(&dialect.quote(name)),
                (Part::Table(name), Dialect::Postgres) => {
                    // Writing to a String cannot fail.
                    let _ = write!(text, "\"a_{app}\".{}", dialect.quote(name));
                }
            }
        }
        Ok(text.into())
    }
}

fn parse(dialect: Dialect, sql: &str) -> Result<Template> {
    let bytes = sql.as_bytes();
    let mut parts = Vec::new();
    let mut text = String::with_capacity(sql.len() + 16);
    let mut index = IndexName::default();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let start = at;
        at = token_end(dialect, bytes, start);
        let token = &sql[start..at];
        match byte {
            b'?' if token.len() > 1 && dialect == Dialect::Postgres => {
                text.push('$');
                text.push_str(&token[1..]);
            }
            b'{' => text.push_str(&replacement(dialect, token)?),
            _ if is_word(byte) => {
                let after_dot = start > 0 && bytes[start - 1] == b'.';
                let name = if after_dot { None } else { qualified(bytes, at, token) };
                let Some((name_start, name_end)) = name else {
                    index.word(token);
                    text.push_str(token);
                    continue;
                };
                at = name_end;
                let name = unquoted(&sql[name_start..name_end]);
                if token == "app" {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                    parts.push(Part::Table(name));
                } else if dialect == Dialect::Sqlite {
                    text.push_str(&dialect.quote(&format!("{token}.{name}")));
                } else if index.is_next() {
                    text.push_str(&sql[name_start..name_end]);
                } else {
                    text.push_str(&sql[start..name_end]);
                }
                index = IndexName::default();
                continue;
            }
            _ => text.push_str(token),
        }
        if !byte.is_ascii_whitespace() && !token.starts_with("--") && !token.starts_with("/*") {
            index = IndexName::default();
        }
    }
    if parts.is_empty() {
        return Ok(Template::Whole(text.into()));
    }
    parts.push(Part::Text(text));
    Ok(Template::Parts(parts))
}

/// Where the token that begins at `start` ends. Always after `start`, and between characters.
fn token_end(dialect: Dialect, bytes: &[u8], start: usize) -> usize {
    let rest = &bytes[start..];
    match rest {
        [quote @ (b'\'' | b'"'), ..] => start + quoted_length(rest, *quote),
        [b'-', b'-', ..] => start + find(rest, b"\n").unwrap_or(rest.len()),
        [b'/', b'*', ..] => start + 2 + find(&rest[2..], b"*/").map_or(rest.len() - 2, |it| it + 2),
        [b'$', ..] if dialect == Dialect::Postgres => start + dollar_quoted_length(rest),
        [b'?', ..] => start + 1 + run(&rest[1..], |it| it.is_ascii_digit()),
        [b'{', ..] => start + find(rest, b"}").map_or(1, |it| it + 1),
        [first, ..] if is_word(*first) => start + run(rest, |it| is_word(it) || it == b'$'),
        _ => start + 1,
    }
}

/// The length of a literal, its quotes doubled inside, up to its end or that of the text.
fn quoted_length(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while let Some(length) = rest.get(at..).and_then(|it| it.iter().position(|it| *it == quote)) {
        at += length + 1;
        if rest.get(at) != Some(&quote) {
            return at;
        }
        at += 1;
    }
    rest.len()
}

/// The length of `$tag$ … $tag$`, or 1 if it is a lone dollar.
fn dollar_quoted_length(rest: &[u8]) -> usize {
    let tag = 1 + run(&rest[1..], is_word);
    if rest.get(tag) != Some(&b'$') || rest.get(1).is_some_and(u8::is_ascii_digit) {
        return 1;
    }
    let opening = &rest[..=tag];
    let body = &rest[opening.len()..];
    find(body, opening).map_or(rest.len(), |it| it + 2 * opening.len())
}

/// Bytes of names, keywords and numbers. Each byte of a character beyond ASCII is one, so a word
/// never ends within a character.
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

fn run(bytes: &[u8], is: impl Fn(u8) -> bool) -> usize {
    bytes.iter().position(|it| !is(*it)).unwrap_or(bytes.len())
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|it| it == what)
}

/// Where the name is that `schema` qualifies, `end` being the end of the schema; if it is one of
/// ours and a name follows.
fn qualified(bytes: &[u8], end: usize, schema: &str) -> Option<(usize, usize)> {
    if !matches!(schema, "sys" | "control" | "app") || bytes.get(end) != Some(&b'.') {
        return None;
    }
    let start = end + 1;
    let rest = bytes.get(start..)?;
    match rest.first()? {
        b'"' => Some((start, start + quoted_length(rest, b'"'))),
        first if is_word(*first) => {
            Some((start, start + run(rest, |it| is_word(it) || it == b'$')))
        }
        _ => None,
    }
}

fn unquoted(name: &str) -> String {
    match name.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').unwrap_or(rest).replace("\"\"", "\""),
        None => name.to_owned(),
    }
}

fn replacement(dialect: Dialect, token: &str) -> Result<String> {
    let inner = token.trim_start_matches('{').trim_end_matches('}');
    if let Some(name) = inner.strip_prefix("index:") {
        let name = name.trim();
        return Ok(match dialect {
            Dialect::Sqlite if name.contains('.') => dialect.quote(name),
            Dialect::Sqlite => dialect.quote(&format!("sys.{name}")),
            Dialect::Postgres => dialect.quote(name.rsplit('.').next().unwrap_or(name)),
        });
    }
    let text = dialect.token(inner);
    text.map(str::to_owned)
        .ok_or_else(|| Error::other(format!("the SQL has an unknown token {{{inner}}}")))
}

/// Follows the words up to the name of an index that is being made.
#[derive(Clone, Copy, Default, PartialEq)]
enum IndexName {
    #[default]
    No,
    Create,
    Index,
}

impl IndexName {
    fn word(&mut self, word: &str) {
        let is = |it: &str| word.eq_ignore_ascii_case(it);
        *self = match self {
            _ if is("create") => Self::Create,
            Self::Create if is("unique") => Self::Create,
            Self::Create if is("index") => Self::Index,
            Self::Index if ["concurrently", "if", "not", "exists"].into_iter().any(is) => {
                Self::Index
            }
            _ => Self::No,
        };
    }

    fn is_next(self) -> bool {
        self == Self::Index
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn both(sql: &str) -> (String, String) {
        let place = Place::App("1f".into());
        let translate = |dialect| {
            let translator = Translator::new(dialect);
            let first = translator.translate(sql, &place).unwrap();
            let again = translator.translate(sql, &place).unwrap();
            assert_eq!(first, again, "remembered as it was translated: {sql}");
            first.to_string()
        };
        (translate(Dialect::Sqlite), translate(Dialect::Postgres))
    }

    #[test]
    fn what_differs_is_translated_and_all_else_stays() {
        for (sql, sqlite, postgres) in [
            ("", "", ""),
            ("select ?1, ?12", "select ?1, ?12", "select $1, $12"),
            ("select ?1::text", "select ?1::text", "select $1::text"),
            ("a ? b", "a ? b", "a ? b"),
            ("from sys.users u", r#"from "sys.users" u"#, "from sys.users u"),
            ("sys.users.id", r#""sys.users".id"#, "sys.users.id"),
            ("from control.apps", r#"from "control.apps""#, "from control.apps"),
            ("(sys.a,sys.b)", r#"("sys.a","sys.b")"#, "(sys.a,sys.b)"),
            ("from app.Users", r#"from "Users""#, r#"from "a_1f"."Users""#),
            (r#"from app."Us""er" x"#, r#"from "Us""er" x"#, r#"from "a_1f"."Us""er" x"#),
            ("app.Users.name", r#""Users".name"#, r#""a_1f"."Users".name"#),
            ("app.Größe = 1", r#""Größe" = 1"#, r#""a_1f"."Größe" = 1"#),
            ("app_id, my_app.x, x.app.y", "app_id, my_app.x, x.app.y", "app_id, my_app.x, x.app.y"),
            ("excluded.sys", "excluded.sys", "excluded.sys"),
            ("sys .x", "sys .x", "sys .x"),
            ("app.", "app.", "app."),
            ("APP.x Sys.y", "APP.x Sys.y", "APP.x Sys.y"),
            ("'sys.x ?1' || ?1", "'sys.x ?1' || ?1", "'sys.x ?1' || $1"),
            ("'it''s ?1' ?1", "'it''s ?1' ?1", "'it''s ?1' $1"),
            (r#""app.x ?1""#, r#""app.x ?1""#, r#""app.x ?1""#),
            ("-- app.x ?1\n?1", "-- app.x ?1\n?1", "-- app.x ?1\n$1"),
            ("/* app.x {no} */ ?1", "/* app.x {no} */ ?1", "/* app.x {no} */ $1"),
            ("'open ?1", "'open ?1", "'open ?1"),
            ("/* open ?1", "/* open ?1", "/* open ?1"),
            ("/*/ ?1 */ ?1", "/*/ ?1 */ ?1", "/*/ ?1 */ $1"),
            ("{int} {text}", "INTEGER TEXT", "BIGINT TEXT COLLATE \"C\""),
            ("{bytes} {bool}", "BLOB INTEGER", "BYTEA BOOLEAN"),
            ("{real} {json}", "REAL TEXT", "DOUBLE PRECISION JSONB"),
            (
                "(id {auto}){strict}",
                "(id INTEGER PRIMARY KEY) STRICT",
                "(id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY)",
            ),
            (
                "create index sys.by_user on sys.sessions (u)",
                r#"create index "sys.by_user" on "sys.sessions" (u)"#,
                "create index by_user on sys.sessions (u)",
            ),
            (
                "CREATE UNIQUE INDEX IF NOT EXISTS control.one -- why\n on control.t (u)",
                "CREATE UNIQUE INDEX IF NOT EXISTS \"control.one\" -- why\n on \"control.t\" (u)",
                "CREATE UNIQUE INDEX IF NOT EXISTS one -- why\n on control.t (u)",
            ),
            (
                "create index {index:by_user} on sys.t (u)",
                r#"create index "sys.by_user" on "sys.t" (u)"#,
                r#"create index "by_user" on sys.t (u)"#,
            ),
            ("drop index sys.by_user", r#"drop index "sys.by_user""#, "drop index sys.by_user"),
            ("{index:control.one}", r#""control.one""#, r#""one""#),
        ] {
            let (found_sqlite, found_postgres) = both(sql);
            assert_eq!(found_sqlite, sqlite, "SQLite: {sql}");
            assert_eq!(found_postgres, postgres, "PostgreSQL: {sql}");
        }
    }

    #[test]
    fn a_function_body_of_postgres_stays() {
        for body in ["$$ select ?1, app.x $$", "$it$ sys.x $$ ?1 $it$", "$$ open ?1"] {
            let sql = format!("as {body}");
            assert_eq!(both(&sql).1, sql);
        }
        assert_eq!(both("$1 ?1").1, "$1 $1");
    }

    #[test]
    fn an_unknown_token_and_a_users_table_of_the_platform_are_refused() {
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            let translator = Translator::new(dialect);
            assert!(translator.translate("{nonsense}", &Place::Control).is_err());
            assert!(translator.translate("from app.Users", &Place::Control).is_err());
            assert!(translator.translate("from control.apps", &Place::Control).is_ok());
            let odd = Place::App("../x".into());
            assert!(translator.translate("from app.Users", &odd).is_err());
        }
    }

    proptest! {
        #[test]
        fn any_text_is_translated_or_refused_without_a_panic(sql in any::<String>()) {
            for dialect in [Dialect::Sqlite, Dialect::Postgres] {
                let _ = Translator::new(dialect).translate(&sql, &Place::App("1".into()));
            }
        }

        #[test]
        fn so_is_a_text_of_telling_pieces(pieces in prop::collection::vec(
            prop::sample::select(vec![
                "app", "sys", ".", "\"", "'", "--", "/*", "*/", "$", "$$", "$a$", "?", "1", "{",
                "}", "{int}", "index:", "create", " index ", "é", "😀", "\n", " ", "x",
            ]), 0..24)
        ) {
            let sql = pieces.concat();
            for dialect in [Dialect::Sqlite, Dialect::Postgres] {
                let _ = Translator::new(dialect).translate(&sql, &Place::App("1".into()));
            }
        }

        #[test]
        fn a_literal_never_changes(inner in "[^']*") {
            let sql = format!("'{inner}'");
            for dialect in [Dialect::Sqlite, Dialect::Postgres] {
                let found = Translator::new(dialect).translate(&sql, &Place::Control).unwrap();
                prop_assert_eq!(&*found, &sql);
            }
        }
    }
}
