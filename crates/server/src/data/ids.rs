//! The conditions of bulk calls that clients make of lists: ids, and everything. All others come
//! with the language of conditions.

use crate::error::{Error, Result};
use crate::store::objects::Which;

/// The most ids of a list.
const MOST: usize = 5000;

/// Reads `objectId in ('a', 'b')`, or what clients send for everything. Fails with 1017 for any
/// other condition, and with 3038 without one.
pub fn read(clause: &str) -> Result<Which> {
    let clause = clause.trim();
    if clause.is_empty() {
        return Err(Error::bad_parameter(
            "The condition is missing. Send where; 1=1 is everything",
        ));
    }
    let close: String = clause.split_whitespace().collect::<Vec<_>>().join("");
    let close = close.to_ascii_lowercase();
    if ["1=1", "objectidisnotnull", "objectid!=null"].contains(&close.as_str()) {
        return Ok(Which::All);
    }
    list(clause).filter(|it| it.len() <= MOST).map(Which::Ids).ok_or_else(|| {
        Error::where_clause("This condition is not available yet (position 1)".to_owned())
    })
}

fn list(clause: &str) -> Option<Vec<String>> {
    let rest = clause.strip_prefix("objectId").or_else(|| clause.strip_prefix("`objectId`"))?;
    let (word, rest) = rest.trim_start().split_at_checked(2)?;
    let rest = rest.trim().strip_prefix('(')?.strip_suffix(')')?;
    if !word.eq_ignore_ascii_case("in") {
        return None;
    }
    let (mut ids, mut rest) = (Vec::new(), rest.trim());
    while !rest.is_empty() {
        rest = rest.strip_prefix('\'')?;
        let mut id = String::new();
        loop {
            let (before, after) = rest.split_once('\'')?;
            id.push_str(before);
            // A quote that is doubled is one of the text's own.
            let Some(more) = after.strip_prefix('\'') else {
                rest = after.trim_start();
                break;
            };
            id.push('\'');
            rest = more;
        }
        ids.push(id);
        if let Some(more) = rest.strip_prefix(',') {
            rest = more.trim_start();
            if rest.is_empty() {
                return None;
            }
        } else if !rest.is_empty() {
            return None;
        }
    }
    Some(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_ids_is_read_and_nothing_else_is_taken_for_one() {
        let ids = |it: &[&str]| Some(Which::Ids(it.iter().map(|it| (*it).to_owned()).collect()));
        for (clause, expected) in [
            ("objectId in ('a')", ids(&["a"])),
            ("objectId IN('a','b' , 'c''d')", ids(&["a", "b", "c'd"])),
            ("`objectId` in ('')", ids(&[""])),
            ("objectId in ()", ids(&[])),
            (" 1=1 ", Some(Which::All)),
            ("1 = 1", Some(Which::All)),
            ("objectId is not null", Some(Which::All)),
            ("objectId != NULL", Some(Which::All)),
            ("objectId!=NULL)", None),
            ("objectId in ('a',)", None),
            ("objectId in ('a' 'b')", None),
            ("objectId in ('a') or 1=1", None),
            ("objectId in ('a') or objectId in ('b')", None),
            ("objectId in (a)", None),
            ("objectId not in ('a')", None),
            ("objectIdin ('a", None),
            ("objectId", None),
            ("name in ('a')", None),
            ("objectId = 'a'", None),
        ] {
            assert_eq!(read(clause).ok(), expected, "{clause}");
        }
        assert_eq!(read(" ").unwrap_err().code, 3038);
        assert_eq!(read("a = 1").unwrap_err().code, 1017);
    }
}
