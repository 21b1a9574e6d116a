//! Names of tables and columns: which are allowed, and what they are called in the database.

/// The longest name, in characters (decision 15 of the wire).
pub const LONGEST: usize = 45;

/// Whether `name` may name a table or a column: `[A-Za-z_][A-Za-z0-9_]{0,44}`.
pub fn allowed(name: &str) -> bool {
    let mut rest = name.bytes();
    let first = rest.next().is_some_and(|it| it.is_ascii_alphabetic() || it == b'_');
    first && name.len() <= LONGEST && rest.all(|it| it.is_ascii_alphanumeric() || it == b'_')
}

/// Whether a property of users would say what only the server can know: that an address is confirmed.
/// There is none of that name, so that nobody can write it (security I-6).
pub fn is_verdict(name: &str) -> bool {
    name.eq_ignore_ascii_case("isEmailConfirmed")
}

/// The physical name for the logical `name` beside the physical names that are `taken`.
///
/// It is the name itself, so that the database reads well with other tools. Only a name that an
/// engine keeps for itself, or that differs from a taken one merely in case (SQLite cannot hold
/// both), becomes `c<number>`.
pub fn physical<'a>(name: &str, taken: &(impl Iterator<Item = &'a str> + Clone)) -> String {
    let same = |it: &str| taken.clone().any(|other| other.eq_ignore_ascii_case(it));
    if !reserved(name) && !same(name) {
        return name.to_owned();
    }
    (1..=u32::MAX).map(|it| format!("c{it}")).find(|it| !same(it)).unwrap_or_default()
}

/// Names that cannot be used in one of the engines even when they are quoted.
fn reserved(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let columns = ["ctid", "xmin", "xmax", "cmin", "cmax", "tableoid", "oid", "rowid", "_rowid_"];
    name.starts_with("sqlite_") || columns.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_letters_digits_and_underscores() {
        for (name, expected) in [
            ("a", true),
            ("_x9", true),
            ("select", true),
            ("", false),
            ("9a", false),
            ("a b", false),
            ("a\"b", false),
            ("sys.sessions", false),
            ("ä", false),
            (&"a".repeat(45), true),
            (&"a".repeat(46), false),
        ] {
            assert_eq!(allowed(name), expected, "{name}");
        }
    }

    #[test]
    fn a_physical_name_is_the_name_unless_an_engine_cannot_hold_it() {
        for (name, taken, expected) in [
            ("age", vec!["name"], "age"),
            ("Age", vec!["age"], "c1"),
            ("xmin", vec![], "c1"),
            ("XMIN", vec!["c1", "C2"], "c3"),
            ("sqlite_stat", vec![], "c1"),
        ] {
            assert_eq!(physical(name, &taken.into_iter()), expected, "{name}");
        }
    }
}
