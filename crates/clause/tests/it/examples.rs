//! What a condition means: every example of D:3, and what the grammar has beside them.

use clause::{Limits, having, parse};

use super::lisp;

/// Every example of D:3.1 to 3.9 and what it means; then its canonical text, where it is another.
pub const EXAMPLES: &[(&str, &str, &str)] = &[
    // D:3.9, in its order.
    ("name = 'Joe'", r#"(Equal name "Joe")"#, ""),
    ("name != 'Joe'", r#"(NotEqual name "Joe")"#, ""),
    ("name = 'O''Brien'", r#"(Equal name "O'Brien")"#, ""),
    (
        "name LIKE 'J%' and age > 20",
        r#"(and (like name "J%") (Greater age 20))"#,
        "name like 'J%' and age > 20",
    ),
    ("name LIKE '%foo%'", r#"(like name "%foo%")"#, "name like '%foo%'"),
    ("name IN ('a','b')", r#"(in name ["a" "b"])"#, "name in ('a', 'b')"),
    (
        "age >= 18 AND age <= 65",
        "(and (GreaterOrEqual age 18) (LessOrEqual age 65))",
        "age >= 18 and age <= 65",
    ),
    ("age BETWEEN 18 AND 65", "(between age 18 65)", "age between 18 and 65"),
    ("active = true", "(Equal active #true)", ""),
    ("name is null", "(null name)", ""),
    ("name is not null", "(not-null name)", ""),
    ("name != NULL", "(not-null name)", "name is not null"),
    ("not (active = true or age < 18)", "(not (or (Equal active #true) (Less age 18)))", ""),
    (
        "`name` like '%5%' or `age` like '%5%'",
        r#"(or (like name "%5%") (like age "%5%"))"#,
        "name like '%5%' or age like '%5%'",
    ),
    ("joined > '03/23/2015'", r#"(Greater joined "03/23/2015")"#, ""),
    ("joined after 1427068800000", "(After joined 1427068800000)", ""),
    (
        "joined at or after '10/28/1988 00:00:00 GMT-0200'",
        r#"(AtOrAfter joined "10/28/1988 00:00:00 GMT-0200")"#,
        "",
    ),
    (
        "joined before DATESUB(NOW(), 30, 'day')",
        "(Before joined (Sub (Now) 30 Day))",
        "joined before DATESUB(NOW(), 30, 'DAY')",
    ),
    (
        "YEAR(NOW())-YEAR(joined) > 2",
        "(Greater (- (Year (Now)) (Year joined)) 2)",
        "YEAR(NOW()) - YEAR(joined) > 2",
    ),
    ("profile->'$.age' > 30", r#"(Greater (json profile [Key("age")]) 30)"#, ""),
    (
        "profile->'$.address.city' = 'New York'",
        r#"(Equal (json profile [Key("address"), Key("city")]) "New York")"#,
        "",
    ),
    (
        "profile->'$.colors[0]' = 'Blue'",
        r#"(Equal (json profile [Key("colors"), Index(0)]) "Blue")"#,
        "",
    ),
    ("address.city = 'Kyiv'", r#"(Equal address.city "Kyiv")"#, ""),
    (
        "orders.total > 100 and orders.paid = false",
        "(and (Greater orders.total 100) (Equal orders.paid #false))",
        "",
    ),
    ("orders.items.sku = 'X1'", r#"(Equal orders.items.sku "X1")"#, ""),
    ("Team[members].name = 'Core'", r#"(Equal (inverse Team members name) "Core")"#, ""),
    (
        "Team[members].objectId = 'T1' and active = true",
        r#"(and (Equal (inverse Team members objectId) "T1") (Equal active #true))"#,
        "",
    ),
    (
        "objectId in (Team[name='Core'].members.objectId)",
        r#"(in objectId (from Team (Equal name "Core") members.objectId))"#,
        "objectId in (Team[name = 'Core'].members.objectId)",
    ),
    ("email in (Invite.email)", "(in email (from Invite all email))", ""),
    (
        "Within(home, 'POLYGON((0 0,1 0,1 1,0 0))') = true",
        r#"(Equal (Within home "POLYGON((0 0,1 0,1 1,0 0))") #true)"#,
        "",
    ),
    (
        "distanceOnSphere(home,'POINT(30.5 50.4)') < 5000",
        r#"(Less (DistanceOnSphere home "POINT(30.5 50.4)") 5000)"#,
        "distanceOnSphere(home, 'POINT(30.5 50.4)') < 5000",
    ),
    ("1=1", "(Equal 1 1)", "1 = 1"),
    (
        "channelName IN ('news','tips')",
        r#"(in channelName ["news" "tips"])"#,
        "channelName in ('news', 'tips')",
    ),
    ("user.email LIKE '%@x.com'", r#"(like user.email "%@x.com")"#, "user.email like '%@x.com'"),
    ("user.city = '{city}'", r#"(Equal user.city "{city}")"#, ""),
    // D:2 and 12: what clients send.
    ("objectId in ('a','b')", r#"(in objectId ["a" "b"])"#, "objectId in ('a', 'b')"),
    ("objectId is not null", "(not-null objectId)", ""),
    ("objectId!=NULL", "(not-null objectId)", "objectId is not null"),
    ("counter <= 50", "(LessOrEqual counter 50)", ""),
    ("firstName like '%find-where-bar%'", r#"(like firstName "%find-where-bar%")"#, ""),
    // D:3.1.
    ("`order` = 1", "(Equal order 1)", "order = 1"),
    ("`address`.`city` = 'X'", r#"(Equal address.city "X")"#, "address.city = 'X'"),
    ("`my table`.`in` = 1", "(Equal |my table|.in 1)", "`my table`.`in` = 1"),
    ("name = 'Charlie''s Angels'", r#"(Equal name "Charlie's Angels")"#, ""),
    (r#"name = "say ""it's""""#, r#"(Equal name "say \"it's\"")"#, "name = 'say \"it''s\"'"),
    (
        r"name like '100\%' and path = 'a\b'",
        r#"(and (like name "100\\%") (Equal path "a\\b"))"#,
        "",
    ),
    ("a in (12, -3.5, 1e6, 2E-3)", "(in a [12 -3.5 1e6 2E-3])", ""),
    ("a = TRUE or b = False", "(or (Equal a #true) (Equal b #false))", "a = true or b = false"),
    ("місто = 'Київ'", r#"(Equal місто "Київ")"#, ""),
    ("\ta\u{a0}=\r\n1 ", "(Equal a 1)", "a = 1"),
    (
        "after = 1 and end > 2 and at < 3",
        "(and (Equal after 1) (Greater end 2) (Less at 3))",
        "`after` = 1 and `end` > 2 and `at` < 3",
    ),
    ("before before after", "(Before before after)", "`before` before `after`"),
    ("at at or after after", "(AtOrAfter at after)", "`at` at or after `after`"),
    ("case = 1", "(Equal case 1)", "`case` = 1"),
    ("now = NOW()", "(Equal now (Now))", ""),
    // D:3.2.
    ("a = 1 or b = 2 and not c = 3", "(or (Equal a 1) (and (Equal b 2) (not (Equal c 3))))", ""),
    ("(a = 1 or b = 2) and c = 3", "(and (or (Equal a 1) (Equal b 2)) (Equal c 3))", ""),
    ("(a + b) * 2 > 3", "(Greater (* (+ a b) 2) 3)", ""),
    ("a or b or c", "(or (true? a) (true? b) (true? c))", ""),
    ("(a or b) or c", "(or (or (true? a) (true? b)) (true? c))", ""),
    ("((a)) = ((1))", "(Equal a 1)", "a = 1"),
    ("((a = 1))", "(Equal a 1)", "a = 1"),
    ("(active)", "(true? active)", "active"),
    ("active and (verified)", "(and (true? active) (true? verified))", "active and verified"),
    ("a <> 1", "(NotEqual a 1)", "a != 1"),
    ("a => 1 and a =< 2", "(and (GreaterOrEqual a 1) (LessOrEqual a 2))", "a >= 1 and a <= 2"),
    ("a = 1 - 2 - 3 + 4", "(Equal a (+ (- (- 1 2) 3) 4))", ""),
    ("a = 1 + 2 * 3 / 4 % 5", "(Equal a (+ 1 (% (/ (* 2 3) 4) 5)))", ""),
    ("a-1 = b -1", "(Equal (- a 1) (- b 1))", "a - 1 = b - 1"),
    ("a = -1 - -2", "(Equal a (- -1 -2))", ""),
    ("a = - 1", "(Equal a -1)", "a = -1"),
    ("a = -(1) * -b", "(Equal a (* (- 1) (- b)))", ""),
    ("a = 1 -- all", "(Equal a (- 1 (- all)))", "a = 1 - -all"), // there are no comments
    ("a = --1", "(Equal a (- -1))", ""),
    (
        "a not like 'b' and a not in (1) and a not between 1 and 2",
        r#"(and (not-like a "b") (not-in a [1]) (not-between a 1 2))"#,
        "",
    ),
    ("a between 1 + 1 and 2 and b", "(and (between a (+ 1 1) 2) (true? b))", ""),
    ("a in ()", "(in a [])", ""),
    ("a in (b, c.d)", "(in a [b c.d])", ""),
    ("a in ((c.d))", "(in a [c.d])", ""),
    ("a in (c)", "(in a [c])", ""),
    ("a in (Team[members].name, 'x')", r#"(in a [(inverse Team members name) "x"])"#, ""),
    ("a in (Team[members].n + 1)", "(in a [(+ (inverse Team members n) 1)])", ""),
    ("a in ((Team[members].n))", "(in a [(inverse Team members n)])", ""),
    ("a in (Team[members].n)", "(in a (from Team (true? members) n))", ""),
    (
        "a in (`my team`[b in (Other[c].d)].e)",
        "(in a (from |my team| (in b (from Other (true? c) d)) e))",
        "",
    ),
    (
        "objectId in (Comment[author.email LIKE '%@x.com'].blogPost.objectId)",
        r#"(in objectId (from Comment (like author.email "%@x.com") blogPost.objectId))"#,
        "objectId in (Comment[author.email like '%@x.com'].blogPost.objectId)",
    ),
    (
        "PhoneBook[contacts].objectId = 'X' and address.city = 'New York'",
        r#"(and (Equal (inverse PhoneBook contacts objectId) "X") (Equal address.city "New York"))"#,
        "",
    ),
    ("address = 'ID' or address is null", r#"(or (Equal address "ID") (null address))"#, ""),
    (
        "a = case when b > 1 then 'x' when c then 'y' else 'z' end",
        r#"(Equal a (case ((Greater b 1) "x") ((true? c) "y") "z"))"#,
        "",
    ),
    (
        "case when when then then else else end = 1",
        "(Equal (case ((true? when) then) else) 1)",
        "case when `when` then `then` else `else` end = 1",
    ),
    ("a.in = 1", "(Equal a.in 1)", "a.`in` = 1"),
    ("a . b = 1", "(Equal a.b 1)", "a.b = 1"),
    ("a.b->'$[1].\"x y\".z' = 1", r#"(Equal (json a.b [Index(1), Key("x y"), Key("z")]) 1)"#, ""),
    ("a->'$.it''s' = 1", r#"(Equal (json a [Key("it's")]) 1)"#, ""),
    ("a->'$' = 1", "(Equal (json a []) 1)", ""),
    // D:3.5.
    ("x = NULL and NULL <> y", "(and (null x) (not-null y))", "x is null and y is not null"),
    ("x < null", "(Less x #null)", ""),
    // D:3.6.
    ("a at or before '28-10-1988'", r#"(AtOrBefore a "28-10-1988")"#, ""),
    (
        "a AT OR AFTER b OR c BEFORE d",
        "(or (AtOrAfter a b) (Before c d))",
        "a at or after b or c before d",
    ),
    // D:3.7.
    (
        "a > dateAdd(now(3), interval 2 week)",
        "(Greater a (Add (Now 3) 2 Week))",
        "a > DATEADD(NOW(3), 2, 'WEEK')",
    ),
    (
        "a > DATEADD(b, interval, MONTH)",
        "(Greater a (Add b interval Month))",
        "a > DATEADD(b, `interval`, 'MONTH')",
    ),
    (
        "a > DATEADD(b, INTERVAL c + 1 YEAR)",
        "(Greater a (Add b (+ c 1) Year))",
        "a > DATEADD(b, c + 1, 'YEAR')",
    ),
    (
        "UNIXTIMESTAMP() > unixtimestamp(a)",
        "(Greater (UnixTimestamp) (UnixTimestamp a))",
        "UNIXTIMESTAMP() > UNIXTIMESTAMP(a)",
    ),
    (
        "upper(concat(a, '-', b)) = 'X'",
        r#"(Equal (Upper (Concat a "-" b)) "X")"#,
        "UPPER(CONCAT(a, '-', b)) = 'X'",
    ),
    (
        "distance(50.4, 30.5, latitude, longitude) < mi(5)",
        "(Less (Distance 50.4 30.5 latitude longitude) (Miles 5))",
        "",
    ),
];

/// Conditions of groups and what they mean.
pub const GROUPS: &[(&str, &str)] = &[
    ("Count(objectId) > 5", "(Greater (Count objectId) 5)"),
    ("avg(age) between MIN(a) and max(b.c)", "(between (Avg age) (Min a) (Max b.c))"),
    (
        "ROUND(Sum(a) / 2) = 1 or name = 'x'",
        r#"(or (Equal (Round (/ (Sum a) 2)) 1) (Equal name "x"))"#,
    ),
];

#[test]
fn every_example_means_what_the_specification_says() {
    for (text, meaning, canonical) in EXAMPLES {
        let clause = parse(text, &Limits::default()).unwrap_or_else(|it| panic!("{text}: {it}"));
        assert_eq!(lisp::condition(&clause.condition), *meaning, "{text}");
        let canonical = if canonical.is_empty() { text } else { canonical };
        assert_eq!(clause.to_string(), *canonical, "{text}");
        assert_eq!(parse(canonical, &Limits::default()).as_ref(), Ok(&clause), "{text}");
    }
}

#[test]
fn keywords_and_functions_are_read_in_any_case_and_columns_as_they_are() {
    let clause = |text: &str| parse(text, &Limits::default()).unwrap();
    let small = "a not in (1) and b is not null or c like 'x' and upper(d) = true";
    let large = "a NOT IN (1) AND b IS NOT NULL OR c LIKE 'x' AND UPPER(d) = TRUE";
    assert_eq!(clause(small), clause(large));
    assert_ne!(clause("a = 1"), clause("A = 1"));
}

#[test]
fn having_may_use_aggregates() {
    for (text, meaning) in GROUPS {
        let clause = having(text, &Limits::default()).unwrap_or_else(|it| panic!("{text}: {it}"));
        assert_eq!(lisp::condition(&clause.condition), *meaning, "{text}");
        assert_eq!(having(&clause.to_string(), &Limits::default()), Ok(clause));
    }
}

#[test]
fn an_expression_is_a_value() {
    for (text, meaning, canonical) in [
        ("age + 1", "(+ age 1)", "age + 1"),
        ("(age)", "age", "age"),
        ("case when a then 1 end", "(case ((true? a) 1))", "case when a then 1 end"),
    ] {
        let operand = clause::expression(text, &Limits::default()).unwrap();
        assert_eq!(lisp::operand(&operand), meaning, "{text}");
        assert_eq!(operand.to_string(), canonical, "{text}");
    }
    let refused = clause::expression("age = 1", &Limits::default()).unwrap_err();
    assert_eq!(refused.to_string(), "expected the end, found = (position 5)");
}

#[test]
fn every_node_knows_the_character_it_begins_at() {
    let text = "не = 'так' and (b.c + 1) * 2 > max";
    let clause = parse(text, &Limits::default()).unwrap();
    let printed = format!("{clause:?}");
    let places = |it: &str| {
        it.split('@')
            .skip(1)
            .map(|it| {
                it.split(|it: char| !it.is_ascii_digit()).next().unwrap().parse::<usize>().unwrap()
            })
            .collect::<Vec<_>>()
    };
    let words: Vec<String> = places(&printed)
        .into_iter()
        .map(|at| text.chars().skip(at).take_while(|it| it.is_alphanumeric()).collect())
        .collect();
    let expected =
        ["не", "не", "не", "не", "", "b", "b", "b", "b", "b", "c", "1", "2", "max", "max"];
    assert_eq!(words, expected, "{printed}");
}
