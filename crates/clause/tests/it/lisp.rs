//! A tree as nested lists, every pair of parentheses written: what tests compare trees by. It
//! shares nothing with the printer of the crate, so that the two cannot be wrong together.

use clause::{Add, Among, Condition, Inverse, Literal, Multiply, Name, Operand, Path, Term, Test};

pub fn condition(it: &Condition) -> String {
    match &it.test {
        Test::Or(parts) => format!("(or {})", joined(parts, condition)),
        Test::And(parts) => format!("(and {})", joined(parts, condition)),
        Test::Not(inner) => format!("(not {})", condition(inner)),
        Test::Compare { comparison, left, right } => {
            format!("({comparison:?} {} {})", operand(left), operand(right))
        }
        Test::Like { negated, operand: left, pattern } => {
            format!("({}like {} {})", not(*negated), operand(left), operand(pattern))
        }
        Test::In { negated, operand: left, among: Among::List(list) } => {
            format!("({}in {} [{}])", not(*negated), operand(left), joined(list, operand))
        }
        Test::In { negated, operand: left, among: Among::Query(query) } => {
            let inner = query.condition.as_ref().map_or("all".to_owned(), condition);
            let (table, column) = (name(&query.table), path(&query.path));
            format!("({}in {} (from {table} {inner} {column}))", not(*negated), operand(left))
        }
        Test::Between { negated, operand: it, low, high } => {
            let (not, it) = (not(*negated), operand(it));
            format!("({not}between {it} {} {})", operand(low), operand(high))
        }
        Test::IsNull { negated, operand: it } => {
            format!("({}null {})", not(*negated), operand(it))
        }
        Test::Truth(it) => format!("(true? {})", operand(it)),
    }
}

pub fn operand(it: &Operand) -> String {
    match &it.term {
        Term::Literal(Literal::Text(it)) => format!("{it:?}"),
        Term::Literal(Literal::Number(it)) => it.text().to_owned(),
        Term::Literal(Literal::Bool(it)) => format!("#{it}"),
        Term::Literal(Literal::Null) => "#null".to_owned(),
        Term::Parameter(it) => format!("?{}:{:?}", it.index, it.kind),
        Term::Column(it) => path(it),
        Term::Json(it, json) => format!("(json {} {:?})", path(it), json.0),
        Term::Inverse(it) => {
            let Inverse { table, relation, path: column } = &**it;
            format!("(inverse {} {} {})", name(table), name(relation), path(column))
        }
        Term::Call(function, arguments) => {
            format!("({function:?} {})", joined(arguments, operand)).replace(" )", ")")
        }
        Term::Shifted { shift, from, amount, unit } => {
            format!("({shift:?} {} {} {unit:?})", operand(from), operand(amount))
        }
        Term::Aggregate(aggregate, of) => format!("({aggregate:?} {})", operand(of)),
        Term::Sum { first, rest } => rest.iter().fold(operand(first), |left, (sign, it)| {
            format!("({} {left} {})", if *sign == Add::Plus { '+' } else { '-' }, operand(it))
        }),
        Term::Product { first, rest } => rest.iter().fold(operand(first), |left, (sign, it)| {
            let sign = match sign {
                Multiply::Times => '*',
                Multiply::Over => '/',
                Multiply::Modulo => '%',
            };
            format!("({sign} {left} {})", operand(it))
        }),
        Term::Negated(of) => format!("(- {})", operand(of)),
        Term::Case { when, otherwise } => {
            let when = joined(when, |it| format!("({} {})", condition(&it.0), operand(&it.1)));
            let otherwise = otherwise.as_ref().map_or(String::new(), |it| operand(it));
            format!("(case {when} {otherwise})").replace(" )", ")")
        }
    }
}

/// A name is between bars, so that dots and words in it show.
fn name(it: &Name) -> String {
    let plain = it.text.chars().all(|it| it.is_alphanumeric() || it == '_');
    if plain { it.text.clone() } else { format!("|{}|", it.text) }
}

pub fn path(it: &Path) -> String {
    it.steps.iter().chain([&it.column]).map(name).collect::<Vec<_>>().join(".")
}

fn not(negated: bool) -> &'static str {
    if negated { "not-" } else { "" }
}

fn joined<T>(parts: &[T], each: impl Fn(&T) -> String) -> String {
    parts.iter().map(each).collect::<Vec<_>>().join(" ")
}
