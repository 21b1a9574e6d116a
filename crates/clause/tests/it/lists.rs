//! The lists beside a condition: what they mean, what they are called in the answer, what is refused.

use clause::{Limits, List, Order, Property, Relation, columns, group, props, relations, sort};

use super::lisp;

const LIMITS: Limits = Limits {
    bytes: 64 * 1024,
    depth: 64,
    conditions: 1_000,
    terms: 10_000,
    items: 2_000,
    steps: 5,
};

fn shown(it: &Property) -> String {
    match it {
        Property::All(_) => "*".to_owned(),
        Property::One { operand, alias: None } => lisp::operand(operand),
        Property::One { operand, alias: Some(alias) } => {
            format!("{} as {}", lisp::operand(operand), alias.text)
        }
    }
}

fn all<T>(list: &List<T>, each: impl Fn(&T) -> String) -> String {
    list.0.iter().map(each).collect::<Vec<_>>().join(" | ")
}

/// Lists of properties, what they mean, and the keys of the answer; `!` is refused.
pub const PROPS: &[(&str, &str, &str)] = &[
    ("", "", ""),
    (" , ,", "", ""),
    ("name", "name", "name"),
    ("name,age", "name | age", "name | age"),
    ("name , name", "name | name", "name | name"),
    ("*", "*", "*"),
    ("age as Age, blocked AS Blocked", "age as Age | blocked as Blocked", "Age | Blocked"),
    ("age as Age,*", "age as Age | *", "Age | *"),
    ("*,TIME(created)", "* | (Time created)", "* | Time"),
    ("relatedCountry.countryName", "relatedCountry.countryName", "countryName"),
    ("Avg(age) as avgAge", "(Avg age) as avgAge", "avgAge"),
    (
        "avg(age),COUNT(a),Sum(a),min(a),Max(a)",
        "(Avg age) | (Count a) | (Sum a) | (Min a) | (Max a)",
        "avg | count | sum | min | max",
    ),
    (
        "DATEADD(a, 1, DAY), dateSub(a,1,'day')",
        "(Add a 1 Day) | (Sub a 1 Day)",
        "Dateadd | Datesub",
    ),
    ("`order`, `as` as `in`", "order | as as in", "order | in"),
    ("as", "!", ""),
    ("a as in, b as as", "a as in | b as as", "in | as"),
    ("after, end, desc", "after | end | desc", "after | end | desc"),
    (
        "profile->'$.a.b[0]', profile->'$[1]'",
        r#"(json profile [Key("a"), Key("b"), Index(0)]) | (json profile [Index(1)])"#,
        "b | profile",
    ),
    ("Team[members].name", "(inverse Team members name)", "name"),
    ("concat(a, ',', `b,c`), d", r#"(Concat a "," |b,c|) | d"#, "Concat | d"),
    ("age+1, -age", "(+ age 1) | (- age)", "age + 1 | -age"),
    ("'text', 1", r#""text" | 1"#, "'text' | 1"),
];

#[test]
fn properties_are_columns_and_calculations_with_the_keys_of_the_answer() {
    for (text, meaning, keys) in PROPS {
        let Ok(list) = props(text, &LIMITS) else {
            assert_eq!(*meaning, "!", "{text}");
            continue;
        };
        assert_eq!(all(&list, shown), *meaning, "{text}");
        assert_eq!(all(&list, |it| it.key().unwrap_or("*".to_owned())), *keys, "{text}");
        assert_eq!(props(&list.to_string(), &LIMITS).as_ref(), Ok(&list), "{text}");
    }
}

/// Sorts and what they mean.
pub const SORTS: &[(&str, &str)] = &[
    ("", ""),
    ("counter", "counter up"),
    ("counter asc, b DESC,c Asc", "counter up | b down | c up"),
    ("`order` desc", "order down"),
    ("address.city desc", "address.city down"),
    ("desc desc, asc", "desc down | asc up"),
    ("UPPER(name) desc, a*2", "(Upper name) down | (* a 2) up"),
    ("created  desc ,", "created down"),
];

#[test]
fn a_sort_has_columns_and_directions() {
    for (text, meaning) in SORTS {
        let list = sort(text, &LIMITS).unwrap_or_else(|it| panic!("{text}: {it}"));
        let told = all(&list, |it| {
            let order = if it.order == Order::Descending { "down" } else { "up" };
            format!("{} {order}", lisp::operand(&it.operand))
        });
        assert_eq!(told, *meaning, "{text}");
        assert_eq!(sort(&list.to_string(), &LIMITS).as_ref(), Ok(&list), "{text}");
    }
}

#[test]
fn groups_exclusions_and_relations_are_lists_of_names() {
    let list = group("name, address.city,YEAR(created)", &LIMITS).unwrap();
    assert_eq!(all(&list, lisp::operand), "name | address.city | (Year created)");
    assert_eq!(group(&list.to_string(), &LIMITS), Ok(list));

    let list = columns("name,`order`, address.city", &LIMITS).unwrap();
    assert_eq!(all(&list, lisp::path), "name | order | address.city");
    assert_eq!(columns(&list.to_string(), &LIMITS), Ok(list));

    let list = relations("*, address,orders.items", &LIMITS).unwrap();
    let shown = |it: &Relation| match it {
        Relation::All(_) => "*".to_owned(),
        Relation::Path(path) => lisp::path(path),
    };
    assert_eq!(all(&list, shown), "* | address | orders.items");
    assert_eq!(relations(&list.to_string(), &LIMITS), Ok(list));
}

#[test]
fn what_is_no_list_of_that_kind_is_refused_with_its_place() {
    for (kind, text, message) in [
        ("props", "a b", "expected a comma, found b (position 3)"),
        ("props", "a as", "expected a name, found the end (position 5)"),
        ("props", "a as 'b'", "expected a name, found 'b' (position 6)"),
        ("props", "a = 1", "expected a comma, found = (position 3)"),
        (
            "props",
            "(a = 1)",
            "a condition cannot be compared, listed or calculated with (position 2)",
        ),
        ("props", "address.*", "expected a name, found * (position 9)"),
        ("props", "* as b", "expected a comma, found as (position 3)"),
        ("props", "Sum(Sum(a))", "Avg, Count, Sum, Min and Max cannot be used here (position 5)"),
        ("sort", "a down", "expected a comma, found down (position 3)"),
        ("sort", "a desc desc", "expected a comma, found desc (position 8)"),
        ("sort", "*", "expected a value or a column, found * (position 1)"),
        ("sort", "Count(a)", "Avg, Count, Sum, Min and Max cannot be used here (position 1)"),
        ("sort", "a;b", "the character ';' has no meaning here (position 2)"),
        ("group", "Count(a)", "Avg, Count, Sum, Min and Max cannot be used here (position 1)"),
        ("columns", "upper(a)", "expected a comma, found ( (position 6)"),
        ("columns", "*", "expected a name, found * (position 1)"),
        ("relations", "a.*", "expected a name, found * (position 3)"),
        ("relations", "T[a].b", "expected a comma, found [ (position 2)"),
        ("relations", "a.b.c.d.e.f.g", "a path leads over more than 5 relations (position 11)"),
    ] {
        let refused = match kind {
            "props" => props(text, &LIMITS).map(drop),
            "sort" => sort(text, &LIMITS).map(drop),
            "group" => group(text, &LIMITS).map(drop),
            "columns" => columns(text, &LIMITS).map(drop),
            _ => relations(text, &LIMITS).map(drop),
        };
        assert_eq!(refused.expect_err(text).to_string(), message, "{kind}: {text}");
    }
}
