//! What is refused, in which words, and at which place.

use clause::{Limits, having, parse};

#[test]
fn what_cannot_be_read_is_refused_with_its_place() {
    for (text, message) in [
        ("", "it is empty (position 1)"),
        (" \n", "it is empty (position 1)"),
        ("a =", "expected a value or a column, found the end (position 4)"),
        ("= 1", "expected a value or a column, found = (position 1)"),
        ("a = 1 b", "expected the end, found b (position 7)"),
        ("a 1", "expected the end, found 1 (position 3)"),
        ("a = 1 and", "expected a value or a column, found the end (position 10)"),
        ("a = 1 and or b", "expected a value or a column, found or (position 11)"),
        ("objectId!=NULL)", "expected the end, found ) (position 15)"),
        ("(a = 1", "expected a closing parenthesis, found the end (position 7)"),
        ("(a, b) = 1", "expected a closing parenthesis, found , (position 3)"),
        ("a = 'it", "a text is not closed: its second quote is missing (position 5)"),
        ("a = \"it'", "a text is not closed: its second quote is missing (position 5)"),
        (r"a = 'O\'Brien'", "expected the end, found Brien (position 9)"),
        ("`a = 1", "a name is not closed: its second back-tick is missing (position 1)"),
        ("`` = 1", "there is no name between the back-ticks (position 1)"),
        ("a = 1;", "the character ';' has no meaning here (position 6)"),
        ("a = ?", "the character '?' has no meaning here (position 5)"),
        ("a == 1", "expected a value or a column, found = (position 4)"),
        ("é = #", "the character '#' has no meaning here (position 5)"),
        ("a = 'x\0y'", "the character '\\0' has no meaning here (position 5)"),
        ("a = 1 /* all */", "expected a value or a column, found * (position 8)"),
        ("a = 1 # all", "the character '#' has no meaning here (position 7)"),
        ("a = 12abc", "this is not a number, or it is too large (position 5)"),
        ("a = 1.", "this is not a number, or it is too large (position 5)"),
        ("a = 1.2.3", "this is not a number, or it is too large (position 5)"),
        ("a = 1e", "this is not a number, or it is too large (position 5)"),
        ("a = 1e999", "this is not a number, or it is too large (position 5)"),
        ("a = .5", "expected a value or a column, found . (position 5)"),
        ("a = +5", "expected a value or a column, found + (position 5)"),
        ("in = 1", "expected a value or a column, found in (position 1)"),
        ("a = like", "expected a value or a column, found like (position 5)"),
        ("not not a", "expected a value or a column, found not (position 5)"),
        ("a = not b", "expected a value or a column, found not (position 5)"),
        ("a not = 1", "expected LIKE, IN or BETWEEN, found = (position 7)"),
        ("a is 1", "expected NULL, found 1 (position 6)"),
        ("a is not 1", "expected NULL, found 1 (position 10)"),
        ("a between 1", "expected AND and the upper end, found the end (position 12)"),
        ("a between 1 or 2", "expected AND and the upper end, found or (position 13)"),
        ("a at 1", "expected OR, found 1 (position 6)"),
        ("a at or 1", "expected AFTER or BEFORE, found 1 (position 9)"),
        ("a in 1", "expected an opening parenthesis, found 1 (position 6)"),
        ("a in (1", "expected a comma or a closing parenthesis, found the end (position 8)"),
        ("a in (1,)", "expected a value or a column, found ) (position 9)"),
        ("a in (b = 1)", "expected a comma or a closing parenthesis, found = (position 9)"),
        (
            "a in (T[b = 1].c, 2)",
            "expected the name of a relation in the brackets, found a condition (position 9)",
        ),
        (
            "a in (T[b].c.d",
            "expected a comma or a closing parenthesis, found the end (position 15)",
        ),
        ("T[b = 1].c = 2", "expected a closing bracket, found = (position 5)"),
        ("T[b] = 2", "expected a dot and a column, found = (position 6)"),
        ("T[b.c].d = 2", "expected a closing bracket, found . (position 4)"),
        ("T[].c = 1", "expected a name, found ] (position 3)"),
        ("a. = 1", "expected a name, found = (position 4)"),
        ("a.'b' = 1", "expected a name, found 'b' (position 3)"),
        (
            "(a = 1) = true",
            "a condition cannot be compared, listed or calculated with (position 2)",
        ),
        ("a = 1 = b", "a condition cannot be compared, listed or calculated with (position 1)"),
        ("1 < a < 3", "a condition cannot be compared, listed or calculated with (position 1)"),
        (
            "(a or b) + 1 = 2",
            "a condition cannot be compared, listed or calculated with (position 2)",
        ),
        ("a = (b and c)", "a condition cannot be compared, listed or calculated with (position 6)"),
        ("a ILIKE 'x'", "expected the end, found ILIKE (position 3)"),
        ("a REGEXP 'x'", "expected the end, found REGEXP (position 3)"),
        ("exists(a)", "there is no function exists (position 1)"),
        ("SLEEP(5) = 0", "there is no function SLEEP (position 1)"),
        ("upper() = 'X'", "UPPER takes 1 argument (position 1)"),
        ("week(a, 1, 2) = 1", "WEEK takes 1 to 2 arguments (position 1)"),
        ("1 = concat()", "CONCAT takes 1 or more arguments (position 5)"),
        ("mod(a) = 1", "MOD takes 2 arguments (position 1)"),
        ("upper(a, ) = 1", "expected a value or a column, found ) (position 10)"),
        ("upper(a b) = 1", "expected a comma or a closing parenthesis, found b (position 9)"),
        (
            "a < DATEADD(b)",
            "expected a comma and the time to add or subtract, found ) (position 14)",
        ),
        ("a < DATEADD(b, 1)", "expected a comma and the unit of time, found ) (position 17)"),
        (
            "a < DATEADD(b, interval 1 eon)",
            "expected SECOND, MINUTE, HOUR, DAY, WEEK, MONTH, QUARTER or YEAR, found eon \
             (position 27)",
        ),
        ("Count(a) > 1", "Avg, Count, Sum, Min and Max cannot be used here (position 1)"),
        ("a->b = 1", "expected a JSON path in quotes, found b (position 4)"),
        ("a->'b' = 1", "this is not a JSON path such as '$.address.city' (position 4)"),
        ("a->'$.*' = 1", "this is not a JSON path such as '$.address.city' (position 4)"),
        ("a->'$[x]' = 1", "this is not a JSON path such as '$.address.city' (position 4)"),
        ("a->'$.b.' = 1", "this is not a JSON path such as '$.address.city' (position 4)"),
        ("T[b].c->'$.d' = 1", "expected the end, found -> (position 7)"),
        ("case when a end = 1", "expected THEN, found end (position 13)"),
        ("case when a then b = 1", "expected END, found = (position 20)"),
    ] {
        let refused = parse(text, &Limits::default()).expect_err(text);
        assert_eq!(refused.to_string(), message, "{text}");
    }
}

#[test]
fn aggregates_have_no_place_in_aggregates_and_subqueries() {
    let message = "Avg, Count, Sum, Min and Max cannot be used here (position";
    for text in ["Sum(Avg(a)) > 1", "a in (T[Count(b) > 1].c)"] {
        let refused = having(text, &Limits::default()).expect_err(text).to_string();
        assert!(refused.starts_with(message), "{text}: {refused}");
    }
    assert!(having("Sum(a) > Avg(b)", &Limits::default()).is_ok());
}

#[test]
fn a_message_repeats_no_more_than_a_little_of_the_text() {
    let long = "x".repeat(5_000);
    for text in [format!("a {long}"), format!("a = 1 '{long}'"), format!("{long}()")] {
        let refused = parse(&text, &Limits::default()).unwrap_err();
        assert!(refused.to_string().len() < 200, "{refused}");
    }
}

#[test]
fn programs_count_from_zero_and_people_from_one() {
    let refused = parse("ß = ;", &Limits::default()).unwrap_err();
    assert_eq!(refused.offset(), 4);
    assert!(refused.to_string().ends_with("(position 5)"));
}
