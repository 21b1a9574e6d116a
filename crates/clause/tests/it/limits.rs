//! No input costs more than its length: each limit, at it and one above.

use std::time::{Duration, Instant};

use clause::{Error, Limits, List, Property, parse, props, sort};

fn small() -> Limits {
    Limits { bytes: 1_000, depth: 4, conditions: 5, terms: 12, items: 6, steps: 2 }
}

#[test]
fn each_limit_holds_at_its_border() {
    let many = |part: &str, count: usize, between: &str| vec![part; count].join(between);
    let nested = |open: &str, inside: &str, close: &str, count: usize| {
        format!("{}{inside}{}", open.repeat(count), close.repeat(count))
    };
    let wide = Limits { terms: 1_000, items: 1_000, ..small() };
    for (within, above, limits, message) in [
        (nested("(", "a", ")", 4), nested("(", "a", ")", 5), small(), "nested more than 4 deep"),
        (nested("not (", "a", ")", 2), nested("not (", "a", ")", 3), small(), "nested more than 4"),
        (nested("a in (", "1", ")", 1), nested("abs(", "1", ")", 5), small(), "nested more than 4"),
        (nested("-", "a", "", 4), nested("-", "a", "", 5), small(), "nested more than 4 deep"),
        (many("a", 5, " or "), many("a", 6, " or "), small(), "more than 5 conditions"),
        (many("a", 5, " and "), many("a", 6, " or "), small(), "more than 5 conditions"),
        (many("a", 11, "+"), many("a", 12, "+"), small(), "more than 12 values and columns"),
        (
            format!("a in ({})", many("1", 6, ",")),
            format!("a in ({})", many("1", 7, ",")),
            small(),
            "a list has more than 6 entries",
        ),
        (
            format!("concat({}) = a", many("1", 6, ",")),
            format!("concat({}) = a", many("1", 7, ",")),
            small(),
            "a list has more than 6 entries",
        ),
        (many("a", 3, "."), many("a", 4, "."), small(), "over more than 2 relations"),
        ("T[r].a.b".into(), "T[r].a.b.c".into(), small(), "over more than 2 relations"),
        (
            "x in (T.a.b.c)".replace(".c", ""),
            "x in (T[a].a.b.c)".into(),
            small(),
            "over more than 2 relations",
        ),
        (
            format!("a = '{}'", "x".repeat(994)),
            format!("a = '{}'", "x".repeat(995)),
            wide,
            "longer than 1000 bytes",
        ),
    ] {
        assert!(parse(&within, &limits).is_ok(), "{within}: {:?}", parse(&within, &limits));
        let refused = parse(&above, &limits).expect_err(&above).to_string();
        assert!(refused.contains(message), "{above}: {refused}");
    }
    let entries = |count: usize| props(&many("a", count, ","), &small());
    assert!(entries(6).is_ok());
    assert!(entries(7).unwrap_err().to_string().contains("a list has more than 6 entries"));
}

#[test]
fn what_stands_side_by_side_is_not_nested() {
    for part in [
        "(a)",
        "not a",
        "-a",
        "upper(a)",
        "a in (1)",
        "a in (T[b].c)",
        "case when a then b end",
        "DATEADD(a, 1, DAY)",
    ] {
        let text = vec![part; 200].join(" and ");
        assert!(parse(&text, &Limits::default()).is_ok(), "{part}");
    }
    let text = vec!["Count(upper((a)))"; 200].join(", ");
    assert!(props(&text, &Limits::default()).is_ok());
}

#[test]
fn the_sizes_that_the_specification_promises_fit() {
    let limits = Limits::default();
    let id = "'01890A5D-AC96-774B-BCCE-B302099A8057'";
    let ids = format!("objectId in ({})", vec![id; 1_000].join(","));
    assert!(parse(&ids, &limits).is_ok(), "1,000 ids");
    let long = format!("name = '{}'", "x".repeat(3_000));
    assert!(parse(&long, &limits).is_ok(), "a literal of 3,000 characters");
    let conditions = vec!["`a_column_name` like '%word%'"; 1_000].join(" or ");
    assert!(parse(&conditions, &limits).is_ok(), "1,000 conditions");
}

/// The worst that a length allows, over and over: each of these has broken a parser somewhere.
#[test]
fn hostile_texts_are_refused_or_read_in_time_that_grows_with_their_length() {
    let tiny = Limits {
        bytes: usize::MAX,
        conditions: usize::MAX,
        terms: usize::MAX,
        items: usize::MAX,
        ..Limits::default()
    };
    for unit in [
        "(",
        "((a)+",
        "(a=1)or",
        "not(",
        "-",
        "- ",
        "a+",
        "a*-",
        "a or ",
        "a and not ",
        "a in(",
        "a in(T[",
        "T[b].",
        "a.",
        "case when a then ",
        "upper(",
        "''",
        "'",
        "`",
        "``",
        "\"\"",
        "a->'$",
        "'$.b",
        "1.",
        "1e",
        "9",
        "x",
        "é",
        ",",
        "a,",
        " ",
        "\0",
        "a between 1 and ",
        "a at or after ",
        "DATEADD(",
        "interval ",
        "a like '%' or ",
        "[",
        "]",
        ")",
        "'%_\\",
    ] {
        for text in [unit.repeat(1 << 16), format!("a in ({}", unit.repeat(1 << 16))] {
            let start = Instant::now();
            for limits in [Limits::default(), tiny] {
                let read: [Result<(), Error>; 3] = [
                    parse(&text, &limits).map(|it| drop(it.to_string())),
                    props(&text, &limits).map(|it: List<Property>| drop(it.to_string())),
                    sort(&text, &limits).map(|it| drop(it.to_string())),
                ];
                drop(read);
            }
            // Quadratic time would need minutes.
            assert!(start.elapsed() < Duration::from_secs(30), "{unit}: {:?}", start.elapsed());
        }
    }
}

#[test]
fn the_deepest_tree_needs_little_of_a_stack() {
    let run = || {
        let limits = Limits::default();
        for (open, close) in [
            ("(", ")"),
            ("not (a and ", ")"),
            ("-(1+", ")"),
            ("upper(", ")"),
            ("a in (1, case when ", " then 2 end)"),
            ("case when a then ", " end"),
            ("a in (T[a or ", "].b)"),
            ("(2*(1+", "))"),
            ("DATEADD(a, ", ", DAY)"),
        ] {
            let mut read = 0;
            for depth in 1..=64 {
                let text = format!("{}1{}", open.repeat(depth), close.repeat(depth));
                if let Ok(clause) = parse(&text, &limits) {
                    assert_eq!(parse(&clause.to_string(), &limits).as_ref(), Ok(&clause));
                    read += 1;
                }
            }
            assert!(read > 20, "{open}");
        }
    };
    // A thread of the server has two megabytes.
    std::thread::Builder::new().stack_size(1 << 20).spawn(run).unwrap().join().unwrap();
}
