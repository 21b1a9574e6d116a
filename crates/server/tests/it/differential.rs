//! Random tables, rows and queries, answered by the server and by a plain evaluator in here: the same
//! rows in the same order. Both engines are held to it, and so to each other.

use std::cmp::Ordering;
use std::fmt::Write as _;

use http::Method;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde_json::{Map, Value, json};

use crate::harness::{START, TestApp, TestServer};

/// How many tables are made, and how many queries are asked of each.
const TABLES: u64 = 4;
const QUERIES: usize = 150;
const ROWS: usize = 30;

const TEXTS: &[&str] = &[
    "", "a", "A", "b", "ab", "aB", "É", "é", "ß", "ẞ", "SS", "\u{212a}", "k", "Σ", "σ", "ς", "😀",
    "a%b", "a_b", "a*b?", "[a]", "\\", "O'Brien", " ", "10", "9", "true", "ſ", "a.b", "^a$",
    "(a|b)",
];
const PATTERNS: &[&str] = &[
    "%", "", "a%", "%a", "%A%", "_", "__", "%é%", "É", "%ß", "k", "K", "%σ%", "Σ", "a\\%b",
    "a\\_b", "a_b", "a%b", "%[a]%", "%*%", "%?", "\\", "%\\%", "s%", "%.%", "^%", "%$", "(%|%)",
    "%0%", "-%", "%-01%", "%:00", "1%", "2%", "%%%a%%%",
];
const WHOLE: &[i64] = &[
    0,
    1,
    -1,
    2,
    7,
    10,
    -10,
    15,
    100,
    9_007_199_254_740_991,
    -9_007_199_254_740_991,
    4_294_967_296,
];
const NUMBERS: &[f64] = &[
    0.0,
    1.0,
    -1.0,
    0.5,
    -2.25,
    0.1,
    0.300_000_000_000_000_04,
    1e15,
    123_456.789,
    1e-7,
    1e60,
    -1e60,
    10.0,
    9_007_199_254_740_992.0,
    2.5,
    0.0001,
];
const TIMES: &[i64] = &[
    0,
    -1,
    1,
    1_700_000_000_000,
    1_700_000_000_999,
    951_782_400_000,
    1_427_068_800_000,
    -62_135_596_800_000,
    253_402_207_199_999,
    1_609_459_199_999,
    1_609_459_200_000,
    -86_400_000,
    4_102_444_800_000,
];
const DOCUMENTS: &[&str] = &[
    r#"{"a":1}"#,
    r#"{"a":"x"}"#,
    r#"{"a":true}"#,
    r#"{"a":null}"#,
    r#"{"a":1.5,"b":{"c":"É"}}"#,
    r#"{"l":[1,"two",null,false]}"#,
    "[1,2]",
    "{}",
    r#"{"a":"1","l":{"1":"key"},"b":{"c":[3]}}"#,
    r#"{"a":0.1,"b":{"c":"two"}}"#,
];
const PATHS: &[(&str, &[&str])] = &[
    ("$.a", &["a"]),
    ("$.b.c", &["b", "c"]),
    ("$.l[1]", &["l", "[1"]),
    ("$.l[3]", &["l", "[3"]),
    ("$[0]", &["[0"]),
];

/// Random numbers that a seed repeats (splitmix64).
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((it ^ (it >> 31)) % n as u64).unwrap()
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    Text,
    Whole,
    Number,
    Bool,
    Time,
    Json,
}

/// A value of a row, or of what is calculated of it.
#[derive(Clone, Debug, PartialEq)]
enum Cell {
    Null,
    Text(String),
    Number(f64),
    Bool(bool),
    Json(Value),
}

type Row = Vec<Cell>;

/// What is out of the range of numbers or of the calendar; the server may refuse the query.
struct Beyond;

type Calc = Box<dyn Fn(&Row) -> Result<Cell, Beyond>>;
type Test = Box<dyn Fn(&Row) -> Result<Option<bool>, Beyond>>;

/// Makes texts of the language, each with what it means.
struct Maker<'a> {
    dice: &'a mut Dice,
    columns: &'a [(String, Kind)],
}

fn in_range(number: f64, may_be_zero: bool) -> Result<Cell, Beyond> {
    let fine = number.is_finite() && (number != 0.0 || may_be_zero);
    if fine { Ok(Cell::Number(number)) } else { Err(Beyond) }
}

fn both(a: Calc, b: Calc, f: impl Fn(f64, f64) -> Result<Cell, Beyond> + 'static) -> Calc {
    Box::new(move |row| match (a(row)?, b(row)?) {
        (Cell::Number(a), Cell::Number(b)) => f(a, b),
        _ => Ok(Cell::Null),
    })
}

#[expect(clippy::cast_possible_truncation, reason = "times are whole numbers below 2⁵³")]
fn civil(at: f64) -> DateTime {
    let seconds = Timestamp::from_millisecond(at as i64).unwrap();
    seconds.to_zoned(TimeZone::UTC).datetime()
}

fn written(number: f64) -> String {
    let plain = format!("{:e}", number.abs());
    let (digits, power) = plain.split_once('e').unwrap();
    let power: i32 = power.parse().unwrap();
    if number == 0.0 || (-4..15).contains(&power) {
        return format!("{}", number + 0.0);
    }
    let (sign, power_sign) =
        (if number < 0.0 { "-" } else { "" }, if power < 0 { '-' } else { '+' });
    format!("{sign}{digits}e{power_sign}{:02}", power.abs())
}

fn folded(letter: char) -> char {
    match letter {
        'ς' => 'σ',
        'ẞ' => 'ß',
        'ſ' => 's',
        it => it.to_lowercase().next().unwrap(),
    }
}

fn is_like(text: &[char], pattern: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['%', rest @ ..] => (0..=text.len()).any(|it| is_like(&text[it..], rest)),
        ['_', rest @ ..] => !text.is_empty() && is_like(&text[1..], rest),
        ['\\', wild @ ('%' | '_'), rest @ ..] => {
            text.first() == Some(wild) && is_like(&text[1..], rest)
        }
        [one, rest @ ..] => {
            text.first().is_some_and(|it| folded(*it) == folded(*one)) && is_like(&text[1..], rest)
        }
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

fn order(a: &Cell, b: &Cell) -> Option<Ordering> {
    match (a, b) {
        (Cell::Text(a), Cell::Text(b)) => Some(a.as_bytes().cmp(b.as_bytes())),
        (Cell::Number(a), Cell::Number(b)) => a.partial_cmp(b),
        (Cell::Bool(a), Cell::Bool(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

impl Maker<'_> {
    fn column(&mut self, kind: Kind) -> Option<(String, usize)> {
        let all: Vec<usize> =
            (0..self.columns.len()).filter(|it| self.columns[*it].1 == kind).collect();
        (!all.is_empty()).then(|| {
            let index = self.dice.of(&all);
            (format!("`{}`", self.columns[index].0), index)
        })
    }

    fn cell(&mut self, kind: Kind) -> Option<(String, Calc)> {
        let (text, index) = self.column(kind)?;
        Some((text, Box::new(move |row| Ok(row[index].clone()))))
    }

    #[expect(clippy::cast_precision_loss, reason = "all of them have 53 bits at most")]
    fn number(&mut self, depth: usize) -> Option<(String, Calc)> {
        let choice = self.dice.below(if depth == 0 { 4 } else { 12 });
        Some(match choice {
            0 | 1 => self.cell(Kind::Whole)?,
            2 => self.cell(Kind::Number)?,
            3 => {
                let number = self.dice.of(NUMBERS);
                (format!("({number})"), Box::new(move |_| Ok(Cell::Number(number))))
            }
            4..=7 => {
                let ((a, f), (b, g)) = (self.number(depth - 1)?, self.number(depth - 1)?);
                match choice {
                    4 => (format!("({a} + {b})"), both(f, g, |a, b| in_range(a + b, true))),
                    5 => (format!("({a} - {b})"), both(f, g, |a, b| in_range(a - b, true))),
                    6 => {
                        let times = |a, b| in_range(a * b, a == 0.0 || b == 0.0);
                        (format!("({a} * {b})"), both(f, g, times))
                    }
                    _ => {
                        let over = |a, b| {
                            if b == 0.0 { Ok(Cell::Null) } else { in_range(a / b, a == 0.0) }
                        };
                        (format!("{a} / {b}"), both(f, g, over))
                    }
                }
            }
            8 => {
                let (a, f) = self.cell(Kind::Whole)?;
                let b = self.dice.of(&[0_i64, 3, 10, -7, 4_294_967_296]);
                let rest = move |a: f64, b: f64| {
                    Ok(if b == 0.0 { Cell::Null } else { Cell::Number(a % b) })
                };
                (
                    format!("({a} % ({b}))"),
                    both(f, Box::new(move |_| Ok(Cell::Number(b as f64))), rest),
                )
            }
            9 => {
                let (a, f) = self.cell(Kind::Time)?;
                type Part = fn(DateTime) -> i64;
                let parts: [(&str, Part); 10] = [
                    ("YEAR", |it| it.year().into()),
                    ("MONTH", |it| it.month().into()),
                    ("QUARTER", |it| i64::from(it.month() - 1) / 3 + 1),
                    ("DAYOFMONTH", |it| it.day().into()),
                    ("DAYOFYEAR", |it| it.day_of_year().into()),
                    ("DAYOFWEEK", |it| i64::from(it.weekday().to_sunday_one_offset())),
                    ("HOUR", |it| it.hour().into()),
                    ("MINUTE", |it| it.minute().into()),
                    ("Second", |it| it.second().into()),
                    ("week", |it| {
                        let sunday = i64::from(it.weekday().to_sunday_zero_offset());
                        (i64::from(it.day_of_year()) + 6 - sunday) / 7
                    }),
                ];
                let (name, part) = self.dice.of(&parts);
                let calc: Calc = Box::new(move |row| {
                    let Cell::Number(at) = f(row)? else { return Ok(Cell::Null) };
                    Ok(Cell::Number(part(civil(at)) as f64))
                });
                (format!("{name}({a})"), calc)
            }
            10 => {
                let (a, f) = self.text(1)?;
                let calc: Calc = Box::new(move |row| {
                    let Cell::Text(text) = f(row)? else { return Ok(Cell::Null) };
                    Ok(Cell::Number(text.chars().count() as f64))
                });
                (format!("LENGTH({a})"), calc)
            }
            _ => {
                let (when, is) = self.test(0)?;
                let ((a, f), (b, g)) = (self.number(0)?, self.number(depth - 1)?);
                let calc: Calc =
                    Box::new(move |row| if is(row)? == Some(true) { f(row) } else { g(row) });
                (format!("case when {when} then {a} else {b} end"), calc)
            }
        })
    }

    fn text(&mut self, depth: usize) -> Option<(String, Calc)> {
        let (a, f) = self.cell(Kind::Text)?;
        if depth == 0 {
            return Some((a, f));
        }
        let with = |f: Calc, change: fn(&str) -> String| -> Calc {
            Box::new(move |row| match f(row)? {
                Cell::Text(text) => Ok(Cell::Text(change(&text))),
                _ => Ok(Cell::Null),
            })
        };
        Some(match self.dice.below(8) {
            0 => (format!("upper({a})"), with(f, |it| it.to_uppercase())),
            1 => (format!("LOWER({a})"), with(f, |it| it.to_lowercase())),
            2 => (format!("Trim({a})"), with(f, |it| it.trim_matches(' ').to_owned())),
            3 => (format!("CONCAT({a}, 'É', 1)"), with(f, |it| format!("{it}É1"))),
            _ => (a, f),
        })
    }

    fn time(&mut self) -> Option<(String, Calc)> {
        let (a, f) = self.cell(Kind::Time)?;
        #[expect(clippy::cast_precision_loss, reason = "times have 53 bits at most")]
        Some(match self.dice.below(8) {
            0 => ("NOW()".to_owned(), Box::new(|_| Ok(Cell::Number(START.0 as f64)))),
            1 => {
                let count = i64::try_from(self.dice.below(40)).unwrap() - 20;
                let calc: Calc = Box::new(move |row| {
                    let Cell::Number(at) = f(row)? else { return Ok(Cell::Null) };
                    let moved = civil(at).checked_add(count.months()).map_err(|_| Beyond)?;
                    let moved = moved.to_zoned(TimeZone::UTC).map_err(|_| Beyond)?;
                    Ok(Cell::Number(moved.timestamp().as_millisecond() as f64))
                });
                (format!("DATEADD({a}, {count}, 'month')"), calc)
            }
            2 => (
                format!("DATESUB({a}, INTERVAL 36 HOUR)"),
                both(f, Box::new(|_| Ok(Cell::Number(129_600_000.0))), |a, b| {
                    in_range(a - b, true)
                }),
            ),
            3 => {
                let day = |a: f64, b: f64| in_range((a / b).floor() * b, true);
                (format!("DATE({a})"), both(f, Box::new(|_| Ok(Cell::Number(86_400_000.0))), day))
            }
            _ => (a, f),
        })
    }

    /// Two sides of one type; the second one is often a literal.
    fn sides(&mut self) -> Option<((String, Calc), (String, Calc))> {
        let literal = self.dice.below(3) > 0;
        let fixed = |text: String, cell: Cell| -> (String, Calc) {
            (text, Box::new(move |_| Ok(cell.clone())))
        };
        #[expect(clippy::cast_precision_loss, reason = "times have 53 bits at most")]
        Some(match self.dice.below(10) {
            0..=2 if literal => {
                let left = self.text(1)?;
                let text = self.dice.of(TEXTS);
                let written = if text == "10" { text.to_owned() } else { quoted(text) };
                (left, fixed(written, Cell::Text(text.to_owned())))
            }
            0..=2 => (self.text(1)?, self.text(1)?),
            3..=5 if literal => {
                let (left, number) = (self.number(1)?, self.dice.of(NUMBERS));
                let written = if self.dice.below(2) == 0 {
                    quoted(&number.to_string())
                } else {
                    number.to_string()
                };
                (left, fixed(written, Cell::Number(number)))
            }
            3..=5 => (self.number(2)?, self.number(2)?),
            6 => {
                let (left, is) = (self.cell(Kind::Bool)?, self.dice.below(2) == 0);
                let written = self.dice.of(if is {
                    &["true", "'True'", "1"]
                } else {
                    &["false", "'false'", "0"]
                });
                (left, fixed(written.to_owned(), Cell::Bool(is)))
            }
            7 | 8 if literal => {
                let (left, at) = (self.time()?, self.dice.of(TIMES));
                let written = match self.dice.below(3) {
                    0 => at.to_string(),
                    1 => quoted(&at.to_string()),
                    _ => quoted(&Timestamp::from_millisecond(at).unwrap().to_string()),
                };
                (left, fixed(written, Cell::Number(at as f64)))
            }
            7 | 8 => (self.time()?, self.time()?),
            _ => {
                let (left, wanted) = self.part()?;
                let (written, cell) = self.dice.of(&[
                    ("1", Cell::Number(1.0)),
                    ("0.1", Cell::Number(0.1)),
                    ("'x'", Cell::Text("x".to_owned())),
                    ("'two'", Cell::Text("two".to_owned())),
                    ("'1'", Cell::Text("1".to_owned())),
                    ("true", Cell::Bool(true)),
                    ("false", Cell::Bool(false)),
                ]);
                let same = cell.clone();
                let calc: Calc = Box::new(move |row| {
                    let Cell::Json(it) = wanted(row)? else { return Ok(Cell::Null) };
                    Ok(match (&same, it) {
                        (Cell::Number(_), Value::Number(it)) => Cell::Number(it.as_f64().unwrap()),
                        (Cell::Text(_), Value::String(it)) => Cell::Text(it),
                        (Cell::Bool(_), Value::Bool(it)) => Cell::Bool(it),
                        _ => Cell::Null,
                    })
                });
                ((left, calc), fixed(written.to_owned(), cell))
            }
        })
    }

    fn part(&mut self) -> Option<(String, Calc)> {
        let (column, index) = self.column(Kind::Json)?;
        let (path, steps) = self.dice.of(PATHS);
        let calc: Calc = Box::new(move |row| {
            let Cell::Json(document) = &row[index] else { return Ok(Cell::Null) };
            let mut part = Some(document);
            for step in steps {
                part = part.and_then(|it| match step.strip_prefix('[') {
                    Some(index) => it.as_array()?.get(index.parse::<usize>().unwrap()),
                    None => it.as_object()?.get(*step),
                });
            }
            Ok(part.filter(|it| !it.is_null()).map_or(Cell::Null, |it| Cell::Json(it.clone())))
        });
        Some((format!("{column}->'{path}'"), calc))
    }

    fn test(&mut self, depth: usize) -> Option<(String, Test)> {
        let choice = self.dice.below(if depth == 0 { 12 } else { 18 });
        Some(match choice {
            0..=5 => {
                let ((a, f), (b, g)) = self.sides()?;
                let (sign, fits) = self.sign();
                let test: Test = Box::new(move |row| Ok(order(&f(row)?, &g(row)?).map(fits)));
                (format!("{a} {sign} {b}"), test)
            }
            6 | 7 => {
                let kind =
                    self.dice.of(&[Kind::Text, Kind::Text, Kind::Whole, Kind::Number, Kind::Time]);
                let (a, f) = if kind == Kind::Text { self.text(1)? } else { self.cell(kind)? };
                let pattern = self.dice.of(PATTERNS);
                let not = if self.dice.below(3) == 0 { "not " } else { "" };
                let chars: Vec<char> = pattern.chars().collect();
                let test: Test = Box::new(move |row| {
                    let text = match f(row)? {
                        Cell::Text(it) => it,
                        Cell::Number(at) if kind == Kind::Time => {
                            civil(at).strftime("%Y-%m-%d %H:%M:%S").to_string()
                        }
                        Cell::Number(it) if kind == Kind::Whole => format!("{it}"),
                        Cell::Number(it) => written(it),
                        _ => return Ok(None),
                    };
                    let text: Vec<char> = text.chars().collect();
                    Ok(Some(is_like(&text, &chars) == not.is_empty()))
                });
                (format!("{a} {not}like {}", quoted(pattern)), test)
            }
            8 => {
                let not = if self.dice.below(3) == 0 { "not " } else { "" };
                let (a, f) = self.cell(Kind::Whole)?;
                let list: Vec<i64> = (0..self.dice.below(6)).map(|_| self.dice.of(WHOLE)).collect();
                let mut texts: Vec<String> = list.iter().map(i64::to_string).collect();
                let with_null = !list.is_empty() && self.dice.below(4) == 0;
                if with_null {
                    texts.push("null".to_owned());
                }
                #[expect(clippy::cast_precision_loss, reason = "all of them have 53 bits at most")]
                let test: Test = Box::new(move |row| {
                    if list.is_empty() {
                        return Ok(Some(!not.is_empty()));
                    }
                    let Cell::Number(it) = f(row)? else { return Ok(None) };
                    let is = list.iter().any(|one| *one as f64 == it);
                    Ok(if !is && with_null { None } else { Some(is == not.is_empty()) })
                });
                (format!("{a} {not}in ({})", texts.join(", ")), test)
            }
            9 => {
                let not = if self.dice.below(3) == 0 { "not " } else { "" };
                let ((a, f), (b, g), (c, h)) = (self.text(0)?, self.text(0)?, self.text(0)?);
                let test: Test = Box::new(move |row| {
                    let (it, low, high) = (f(row)?, g(row)?, h(row)?);
                    let above = order(&it, &low).map(Ordering::is_ge);
                    let below = order(&it, &high).map(Ordering::is_le);
                    Ok(all(&[above, below]).map(|it| it == not.is_empty()))
                });
                (format!("{a} {not}between {b} and {c}"), test)
            }
            10 => {
                let kind =
                    self.dice.of(&[Kind::Text, Kind::Number, Kind::Bool, Kind::Time, Kind::Json]);
                let (a, f) = if kind == Kind::Json { self.part()? } else { self.cell(kind)? };
                let (word, wanted) = self.dice.of(&[
                    ("is null", true),
                    ("IS NOT NULL", false),
                    ("= null", true),
                    ("!= NULL", false),
                ]);
                let test: Test = Box::new(move |row| Ok(Some((f(row)? == Cell::Null) == wanted)));
                (format!("{a} {word}"), test)
            }
            11 => {
                let (a, f) = self.cell(Kind::Bool)?;
                let test: Test = Box::new(move |row| match f(row)? {
                    Cell::Bool(it) => Ok(Some(it)),
                    _ => Ok(None),
                });
                (a, test)
            }
            12 | 13 => {
                let (a, f) = self.test(depth - 1)?;
                (format!("not ({a})"), Box::new(move |row| Ok(f(row)?.map(|it| !it))))
            }
            _ => {
                let count = 2 + self.dice.below(3);
                let mut parts = Vec::new();
                for _ in 0..count {
                    parts.push(self.test(depth - 1)?);
                }
                let (texts, tests): (Vec<String>, Vec<Test>) = parts.into_iter().unzip();
                let and = choice < 16;
                let word = if and { ") and (" } else { ") OR (" };
                let test: Test = Box::new(move |row| {
                    let mut found = Vec::new();
                    for test in &tests {
                        found.push(test(row)?);
                    }
                    if and {
                        return Ok(all(&found));
                    }
                    let none: Vec<Option<bool>> = found.iter().map(|it| it.map(|it| !it)).collect();
                    Ok(all(&none).map(|it| !it))
                });
                (format!("({})", texts.join(word)), test)
            }
        })
    }

    fn sign(&mut self) -> (&'static str, fn(Ordering) -> bool) {
        let signs: [(&str, fn(Ordering) -> bool); 7] = [
            ("=", Ordering::is_eq),
            ("!=", Ordering::is_ne),
            ("<>", Ordering::is_ne),
            ("<", Ordering::is_lt),
            ("<=", Ordering::is_le),
            (">", Ordering::is_gt),
            ("=>", Ordering::is_ge),
        ];
        self.dice.of(&signs)
    }
}

/// Whether all of them are true: false if one is false, unknown if one is unknown.
fn all(tests: &[Option<bool>]) -> Option<bool> {
    if tests.contains(&Some(false)) {
        Some(false)
    } else if tests.contains(&None) {
        None
    } else {
        Some(true)
    }
}

async fn filled(
    server: &TestServer,
    dice: &mut Dice,
    table: &str,
) -> (Vec<(String, Kind)>, Vec<Row>) {
    let (app, desk) = (&server.app, server.desk().await);
    let words =
        ["order", "select", "Group", "x", "_y", "z9", "where_", "end", "at", "after", "index"];
    let mut columns: Vec<(String, Kind)> = Vec::new();
    for (kind, most) in [
        (Kind::Text, 2),
        (Kind::Whole, 2),
        (Kind::Number, 2),
        (Kind::Bool, 1),
        (Kind::Time, 2),
        (Kind::Json, 1),
    ] {
        for _ in 0..=dice.below(most) {
            columns.push((format!("{}{}", dice.of(&words), columns.len()), kind));
        }
    }
    desk.about(Method::POST, "/data/tables").body(json!({ "name": table })).send().await.ok();
    for (name, kind) in &columns {
        let kind = match kind {
            Kind::Text => "STRING",
            Kind::Whole => "INT",
            Kind::Number => "DOUBLE",
            Kind::Bool => "BOOLEAN",
            Kind::Time => "DATETIME",
            Kind::Json => "JSON",
        };
        let column = json!({ "name": name, "dataType": kind });
        let path = format!("/data/tables/{table}/columns");
        desk.about(Method::POST, &path).body(column).send().await.ok();
    }
    let (mut rows, mut objects) = (Vec::new(), Vec::new());
    for index in 0..ROWS {
        let (mut row, mut object) = (Row::new(), Map::new());
        object.insert("objectId".to_owned(), index.to_string().into());
        for (name, kind) in &columns {
            if dice.below(6) == 0 {
                row.push(Cell::Null);
                continue;
            }
            #[expect(clippy::cast_precision_loss, reason = "all of them have 53 bits at most")]
            let (cell, value) = match kind {
                Kind::Text => {
                    let text = dice.of(TEXTS);
                    (Cell::Text(text.to_owned()), json!(text))
                }
                Kind::Whole => {
                    let number = dice.of(WHOLE);
                    (Cell::Number(number as f64), json!(number))
                }
                Kind::Number => {
                    let number = dice.of(NUMBERS);
                    (Cell::Number(number), json!(number))
                }
                Kind::Bool => {
                    let is = dice.below(2) == 0;
                    (Cell::Bool(is), json!(is))
                }
                Kind::Time => {
                    let at = dice.of(TIMES);
                    (Cell::Number(at as f64), json!(at))
                }
                Kind::Json => {
                    let document: Value = serde_json::from_str(dice.of(DOCUMENTS)).unwrap();
                    (Cell::Json(document.clone()), document)
                }
            };
            row.push(cell);
            object.insert(name.clone(), value);
        }
        rows.push(row);
        objects.push(Value::Object(object));
    }
    app.post(&format!("/data/bulk/{table}"), Value::Array(objects)).send().await.ok();
    (columns, rows)
}

/// A query, and the rows that it means, in their order; `None` if a calculation of it is beyond what
/// can be calculated for one of the rows.
fn query(
    dice: &mut Dice,
    columns: &[(String, Kind)],
    rows: &[Row],
) -> Option<(Value, Option<Vec<usize>>)> {
    let mut maker = Maker { dice, columns };
    let (clause, test) = maker.test(3)?;
    let mut keys = Vec::new();
    let mut sort = String::new();
    for _ in 0..maker.dice.below(3) {
        let (text, calc) = match maker.dice.below(5) {
            0 => {
                // A literal alone is no order.
                let (text, calc) = maker.number(1)?;
                (format!("{text} * 1"), calc)
            }
            1 => maker.cell(Kind::Bool)?,
            2 => maker.time()?,
            _ => maker.text(1)?,
        };
        let down = maker.dice.below(2) == 0;
        let comma = if sort.is_empty() { "" } else { ", " };
        let _ = write!(sort, "{comma}{text}{}", if down { " DESC" } else { " asc" });
        keys.push((calc, down));
    }
    let (size, offset) = (1 + dice.below(100), dice.below(10));
    let query = json!({ "where": clause, "sortBy": sort, "pageSize": size, "offset": offset, "props": "objectId" });
    let model = || {
        let mut found = Vec::new();
        for (index, row) in rows.iter().enumerate() {
            let mut key = Vec::new();
            for (calc, _) in &keys {
                key.push(calc(row)?);
            }
            if test(row)? == Some(true) {
                found.push((index, key));
            }
        }
        let last = keys.last().is_none_or(|it| it.1);
        found.sort_by(|a, b| {
            for (place, (_, down)) in keys.iter().enumerate() {
                let (a, b) = (&a.1[place], &b.1[place]);
                let nulls = (*a != Cell::Null).cmp(&(*b != Cell::Null));
                let by = nulls.then_with(|| order(a, b).unwrap_or(Ordering::Equal));
                if by.is_ne() {
                    return if *down { by.reverse() } else { by };
                }
            }
            if last { b.0.cmp(&a.0) } else { a.0.cmp(&b.0) }
        });
        Ok::<_, Beyond>(found.into_iter().skip(offset).take(size).map(|it| it.0).collect())
    };
    Some((query, model().ok()))
}

async fn ask(app: &TestApp, table: &str, query: &Value) -> Result<Vec<usize>, u64> {
    let reply = app.post(&format!("/data/{table}/find"), query.clone()).send().await;
    if reply.code() != 0 {
        return Err(reply.code());
    }
    let rows = reply.ok();
    let id = |it: &Value| it["objectId"].as_str().unwrap().parse().unwrap();
    Ok(rows.as_array().unwrap().iter().map(id).collect())
}

#[tokio::test]
async fn every_query_finds_what_a_plain_evaluator_finds() {
    let server = TestServer::compat().await;
    let first: u64 =
        std::env::var("USHER_TEST_SEED").ok().and_then(|it| it.parse().ok()).unwrap_or(1);
    let (mut asked, mut rows_found, mut wrong) = (0, 0, Vec::new());
    for seed in first..first + TABLES {
        let (mut dice, table) = (Dice(seed), format!("T{seed}"));
        let (columns, rows) = filled(&server, &mut dice, &table).await;
        for _ in 0..QUERIES {
            let Some((query, expected)) = query(&mut dice, &columns, &rows) else { continue };
            let found = ask(&server.app, &table, &query).await;
            // An engine need not calculate what cannot change the answer.
            let Some(expected) = expected else { continue };
            asked += 1;
            rows_found += expected.len();
            if found != Ok(expected.clone()) {
                wrong.push(format!("seed {seed}: {query}\n  {found:?} instead of {expected:?}"));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {asked}:\n{}",
        wrong.len(),
        wrong[..wrong.len().min(8)].join("\n")
    );
    assert!(asked > 300 && rows_found > asked, "{asked} queries found {rows_found} rows");
}
