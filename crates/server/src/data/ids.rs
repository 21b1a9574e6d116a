//! Which objects a bulk call is about: a list of ids, everything, or what a condition says.
//!
//! Wire: data-api 2.8.

use clause::{Among, Comparison, Condition, Literal, Operand, Term, Test, Value};

use super::operands::Compiler;
use super::{given, where_clause};
use crate::clock::Millis;
use crate::error::{Error, Result};
use crate::schema::Table;
use crate::store::query::Filter;

/// The objects that a bulk call is about.
#[derive(Clone, Debug)]
pub struct Which {
    /// What is to be known of them beforehand.
    pub kind: Kind,
    /// The condition that they meet.
    pub filter: Filter,
}

/// What is known of the objects of a bulk call beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// They are those with these ids.
    Ids(Vec<String>),
    /// They are all of the table.
    All,
    /// They have to be looked for.
    Some,
}

/// Reads a condition. Fails with 3038 without one, with 1017 for one that cannot be read, and with
/// 1006 for a column that is not there.
pub fn read(table: &Table, text: &str, now: Millis) -> Result<Which> {
    let mut values = Vec::new();
    let Some(clause) = where_clause::read(text, &mut values)? else {
        let message = "The condition is missing. Send where; 1=1 is everything";
        return Err(Error::bad_parameter(message));
    };
    let mut compiler = Compiler::new(table, &values);
    let condition = compiler.condition(&clause.condition)?;
    let given = given::all(&compiler.recipes, &values, now)?;
    let kind = if is_everything(&clause.condition, &values) {
        Kind::All
    } else {
        ids(&clause.condition, &values).map_or(Kind::Some, Kind::Ids)
    };
    Ok(Which { kind, filter: Filter { condition, given } })
}

fn is_id(operand: &Operand) -> bool {
    matches!(&operand.term, Term::Column(it) if it.steps.is_empty() && it.column.text == "objectId")
}

/// What clients send for everything: `1=1`, `objectId is not null`, `objectId != NULL`.
fn is_everything(condition: &Condition, values: &[Value]) -> bool {
    match &condition.test {
        Test::IsNull { negated: true, operand } => is_id(operand),
        Test::Compare { comparison: Comparison::Equal, left, right } => {
            let number = |it: &Operand| match &it.term {
                Term::Parameter(it) => match &values.get(it.index)?.literal {
                    Literal::Number(number) => number.int(),
                    _ => None,
                },
                _ => None,
            };
            number(left).is_some() && number(left) == number(right)
        }
        _ => false,
    }
}

/// `objectId in ('a', 'b')`.
fn ids(condition: &Condition, values: &[Value]) -> Option<Vec<String>> {
    let Test::In { negated: false, operand, among: Among::List(list) } = &condition.test else {
        return None;
    };
    let id = |it: &Operand| match &it.term {
        Term::Parameter(it) => match &values.get(it.index)?.literal {
            Literal::Text(text) => Some(text.clone()),
            _ => None,
        },
        _ => None,
    };
    let mut ids = list.iter().map(id).collect::<Option<Vec<_>>>().filter(|_| is_id(operand))?;
    ids.dedup();
    Some(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_ids_and_everything_are_known_from_their_text() {
        let columns = crate::schema::common_columns().into_iter().map(|it| {
            let mut column = crate::schema::Column::blank(&it.name, it.kind, it.maker);
            column.physical.clone_from(&it.name);
            column
        });
        let table = Table {
            id: String::new(),
            name: "Person".into(),
            physical: "Person".to_owned(),
            columns: columns.collect(),
        };
        let ids = |it: &[&str]| Kind::Ids(it.iter().map(|it| (*it).to_owned()).collect());
        for (clause, expected) in [
            ("objectId in ('a')", ids(&["a"])),
            ("objectId IN('a','b' , 'c''d')", ids(&["a", "b", "c'd"])),
            ("`objectId` in ('')", ids(&[""])),
            ("objectId in ()", ids(&[])),
            (" 1=1 ", Kind::All),
            ("1 = 1", Kind::All),
            ("objectId is not null", Kind::All),
            ("objectId != NULL", Kind::All),
            ("objectId!=NULL", Kind::All),
            ("1 = 2", Kind::Some),
            ("objectId in ('a') or 1=1", Kind::Some),
            ("objectId not in ('a')", Kind::Some),
            ("objectId is null", Kind::Some),
            ("ownerId in ('a')", Kind::Some),
            ("objectId = 'a'", Kind::Some),
        ] {
            assert_eq!(read(&table, clause, Millis(0)).unwrap().kind, expected, "{clause}");
        }
        for (clause, code) in [
            (" ", 3038),
            ("objectId!=NULL)", 1017),
            ("objectId in ('a',)", 1017),
            ("objectId in ('a' 'b')", 1017),
            ("objectIdin ('a", 1017),
            ("name in ('a')", 1006),
        ] {
            assert_eq!(read(&table, clause, Millis(0)).unwrap_err().code, code, "{clause}");
        }
    }
}
