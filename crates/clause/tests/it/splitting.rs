//! Shapes: what two texts with other values have in common, and that it tells nothing of the values.

use clause::{Limits, Literal, Split, Value, parse, props};

fn split(text: &str) -> (String, Vec<Value>) {
    let mut clause = parse(text, &Limits::default()).unwrap_or_else(|it| panic!("{text}: {it}"));
    let mut values = Vec::new();
    clause.split(&mut values);
    (clause.to_string(), values)
}

fn shown(values: &[Value]) -> String {
    values.iter().map(|it| it.literal.to_string()).collect::<Vec<_>>().join(" ")
}

#[test]
fn a_shape_has_the_kind_of_each_value_and_the_values_stand_beside_it() {
    for (text, shape, values) in [
        ("age > 20 and name = 'Ann'", "age > ?number and name = ?text", "20 'Ann'"),
        ("a = true or b is null", "a = ?bool or b is null", "true"),
        ("a < null", "a < null", ""),
        ("a in ('x','y','z')", "a in (?text*3)", "'x' 'y' 'z'"),
        ("a in ('x', 1, 2, b, 3)", "a in (?text, ?number*2, b, ?number)", "'x' 1 2 3"),
        ("a in ()", "a in ()", ""),
        ("a = -(5)", "a = -(?number)", "5"),
        ("a = -5", "a = ?number", "-5"),
        ("a between 1 and 2", "a between ?number and ?number", "1 2"),
        ("a not like '%x'", "a not like ?text", "'%x'"),
        ("p->'$.a' = 1", "p->'$.a' = ?number", "1"),
        ("a > DATESUB(NOW(), 3, 'day')", "a > DATESUB(NOW(), ?number, 'DAY')", "3"),
        ("a in (T[b = 1].c)", "a in (T[b = ?number].c)", "1"),
        (
            "case when a = 1 then 2 else 3 end = 4 * 5 + 6",
            "case when a = ?number then ?number else ?number end = ?number * ?number + ?number",
            "1 2 3 4 5 6",
        ),
    ] {
        let (found, taken) = split(text);
        assert_eq!(found, shape, "{text}");
        assert_eq!(shown(&taken), values, "{text}");
    }
}

#[test]
fn a_value_remembers_where_it_stood_and_a_parameter_which_value_it_is() {
    let mut clause = parse("a = 'x' and b = 12", &Limits::default()).unwrap();
    let mut values = vec![Value { at: clause::At(0), literal: Literal::Bool(true) }];
    clause.split(&mut values);
    assert_eq!(values[1..].iter().map(|it| it.at.0).collect::<Vec<_>>(), [4, 16]);
    let lisp = super::lisp::condition(&clause.condition);
    assert_eq!(lisp, "(and (Equal a ?1:Text) (Equal b ?2:Number))");
}

#[test]
fn the_parts_of_one_query_share_one_list_of_values() {
    let mut values = Vec::new();
    let mut condition = parse("a = 1", &Limits::default()).unwrap();
    let mut list = props("b + 2, concat(c, 'x') as d", &Limits::default()).unwrap();
    condition.split(&mut values);
    list.split(&mut values);
    assert_eq!(list.to_string(), "b + ?number, CONCAT(c, ?text) as d");
    assert_eq!(shown(&values), "1 2 'x'");
}

#[test]
fn texts_that_differ_in_more_than_values_have_different_shapes() {
    let shapes = [
        "a = 1",
        "a = '1'",
        "a = true",
        "a is null",
        "b = 1",
        "a = b",
        "a != 1",
        "a = 1 + 1",
        "a = -(1)",
        "a in (1)",
        "a in (1, 1)",
        "a in (1, '1')",
        "a = 1 or a = 1",
        "a before 1",
        "a < 1",
        "(a = 1 or a = 1) or a = 1",
        "a = 1 or a = 1 or a = 1",
        "p->'$.a' = 1",
        "p->'$.b' = 1",
        "a in (b.c)",
        "a in ((b.c))",
        "`?text` = 1",
    ];
    let mut found: Vec<String> = shapes.iter().map(|it| split(it).0).collect();
    found.sort();
    found.dedup();
    assert_eq!(found.len(), shapes.len(), "{found:?}");
    assert_eq!(split("A_1 = 'x' and b in (1,2)").0, split("A_1='yy'and(b in(30,-4))").0);
}
