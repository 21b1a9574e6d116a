//! What is fuzzed: each target reads one text and panics if anything is wrong. The tests, `cargo
//! xtask fuzz` and the targets of libFuzzer in `fuzz/` all run these.

use std::fmt::{Debug, Display};

use clause::{Error, Limits};

/// Something to feed texts to.
pub struct Target {
    /// What `cargo xtask fuzz` calls it.
    pub name: &'static str,
    /// Panics if the text shows a fault.
    pub check: fn(&str),
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "clause", check: clause },
    Target { name: "props", check: props },
    Target { name: "sort", check: sort },
];

/// Conditions of rows and of groups, and expressions.
pub fn clause(text: &str) {
    let condition = round(text, clause::parse);
    let having = round(text, clause::having);
    assert!(condition.is_none() || condition == having, "aggregates alone make a difference");
    let expression = round(text, clause::expression);
    assert!(expression.is_none() || condition.is_some(), "a value is a condition, too");
}

/// `props`, and the other lists of names.
pub fn props(text: &str) {
    let props = round(text, clause::props);
    let groups = round(text, clause::group);
    assert!(groups.is_none() || props.is_some(), "what groups can be asked for");
    let columns = round(text, clause::columns);
    let relations = round(text, clause::relations);
    assert!(columns.is_none() || groups.is_some() && relations.is_some(), "a name is a name");
}

/// `sortBy`.
pub fn sort(text: &str) {
    let sort = round(text, clause::sort);
    let groups = round(text, clause::group);
    assert!(groups.is_none() || sort.is_some(), "what is grouped by can be sorted by");
}

/// Reads a text; what is read is printed and read again, and must be the same. Gives its text.
fn round<T: Display + Debug + PartialEq>(
    text: &str,
    read: fn(&str, &Limits) -> Result<T, Error>,
) -> Option<String> {
    let tree = match read(text, &Limits::default()) {
        Ok(tree) => tree,
        Err(error) => {
            let length = text.chars().count();
            assert!(error.offset() as usize <= length, "{error} is beyond the end");
            let words = error.to_string();
            assert!(words.chars().count() < 250, "{words} is too long for a message");
            return None;
        }
    };
    let printed = tree.to_string();
    // A canonical text may be a little longer than what it was made of.
    let wide = Limits { bytes: usize::MAX, ..Limits::default() };
    let again = read(&printed, &wide);
    assert_eq!(again.as_ref(), Ok(&tree), "{printed:?} of {text:?}");
    assert_eq!(again.map(|it| it.to_string()).as_ref(), Ok(&printed), "of {text:?}");
    Some(printed)
}
