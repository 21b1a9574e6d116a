//! Numbers, patterns, JSON paths, functions and comparisons, each on its own.

use clause::{Aggregate, Comparison, Function, JsonPath, JsonStep, Number, Wild};

#[test]
fn a_number_keeps_its_text_and_is_whole_only_where_it_is_written_so() {
    for (text, int, double) in [
        ("0", Some(0), 0.0),
        ("-0", Some(0), 0.0),
        ("007", Some(7), 7.0),
        ("9223372036854775807", Some(i64::MAX), 9_223_372_036_854_775_807.0),
        ("9223372036854775808", None, 9_223_372_036_854_775_808.0),
        ("-9223372036854775808", Some(i64::MIN), -9_223_372_036_854_775_808.0),
        ("1.0", None, 1.0),
        ("1e3", None, 1_000.0),
        ("-2.5E-1", None, -0.25),
    ] {
        let number = Number::new(text).unwrap();
        assert_eq!((number.text(), number.int()), (text, int));
        assert!((number.double() - double).abs() < f64::EPSILON, "{text}");
    }
    for text in
        ["", "-", "--1", "+1", ".5", "5.", "1.e3", "1e", "1e400", "inf", "NaN", "0x1", "1_0", " 1"]
    {
        assert_eq!(Number::new(text), None, "{text}");
    }
}

#[test]
fn a_pattern_has_wildcards_that_a_backslash_makes_plain() {
    use Wild::{Any, Character, One};
    let plain = Character;
    for (pattern, pieces) in [
        ("", vec![]),
        ("a%_", vec![plain('a'), Any, One]),
        (r"\%\_%", vec![plain('%'), plain('_'), Any]),
        (r"a\b\", vec![plain('a'), plain('\\'), plain('b'), plain('\\')]),
        (r"\\%", vec![plain('\\'), plain('%')]),
        ("Ї''", vec![plain('Ї'), plain('\''), plain('\'')]),
    ] {
        assert_eq!(Wild::read(pattern).collect::<Vec<_>>(), pieces, "{pattern}");
    }
}

#[test]
fn a_json_path_has_keys_and_indexes() {
    let key = |it: &str| JsonStep::Key(it.to_owned());
    for (text, steps, printed) in [
        ("$", vec![], "$"),
        (" $.a ", vec![key("a")], "$.a"),
        (
            "$.a.b[0][12].c",
            vec![key("a"), key("b"), JsonStep::Index(0), JsonStep::Index(12), key("c")],
            "$.a.b[0][12].c",
        ),
        (r#"$."a b"."c\"\\""#, vec![key("a b"), key(r#"c"\"#)], r#"$."a b"."c\"\\""#),
        (r#"$."plain""#, vec![key("plain")], "$.plain"),
        (r#"$."""#, vec![key("")], r#"$."""#),
        ("$.my-key.$x", vec![key("my-key"), key("$x")], "$.my-key.$x"),
        ("$[ 3 ]", vec![JsonStep::Index(3)], "$[3]"),
    ] {
        let path = JsonPath::parse(text).unwrap_or_else(|| panic!("{text}"));
        assert_eq!(path.0, steps, "{text}");
        assert_eq!(path.to_string(), printed, "{text}");
        assert_eq!(JsonPath::parse(printed), Some(path));
    }
    for text in [
        "",
        "a",
        ".a",
        "$a",
        "$.",
        "$..a",
        "$.a.",
        "$[",
        "$[]",
        "$[-1]",
        "$[+1]",
        "$[a]",
        "$[*]",
        "$.*",
        "$**.a",
        "$[4294967296]",
        "$.\"a",
        r#"$."\n""#,
        r#"$."a"b"#,
        "$.a b",
        "$.a]",
        "$[last]",
    ] {
        assert_eq!(JsonPath::parse(text), None, "{text}");
    }
    let deep = |steps: usize| JsonPath::parse(&format!("${}", ".a".repeat(steps)));
    assert!(deep(64).is_some() && deep(65).is_none());
}

#[test]
fn every_function_is_found_by_its_name_in_any_case() {
    for function in Function::all() {
        for name in [function.name().to_lowercase(), function.name().to_uppercase()] {
            assert_eq!(Function::by_name(&name), Some(function));
            assert_eq!(Aggregate::by_name(&name), None, "a name is one thing");
        }
        assert!((0..5).any(|it| function.takes(it)), "{}", function.name());
    }
    assert_eq!(Function::by_name("NOW "), None);
    assert!(Function::Now.takes(1) && !Function::Now.takes(2));
}

#[test]
fn a_date_word_means_a_sign() {
    for comparison in Comparison::ALL {
        assert_eq!(comparison.is_of_dates(), comparison.sign() != comparison, "{comparison:?}");
        assert!(!comparison.sign().is_of_dates());
    }
    assert_eq!(Comparison::AtOrBefore.sign(), Comparison::LessOrEqual);
}
