//! The language of conditions once more: random texts of it, each with what it means for a row, as a
//! plain evaluator has it. It shares nothing with the server but the specification.

use std::cmp::Ordering;

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use serde_json::Value;

use crate::harness::START;

pub const TEXTS: &[&str] = &[
    "", "a", "A", "b", "ab", "aB", "É", "é", "ß", "ẞ", "SS", "\u{212a}", "k", "Σ", "σ", "ς", "😀",
    "a%b", "a_b", "a*b?", "[a]", "\\", "O'Brien", " ", "10", "9", "true", "ſ", "a.b", "^a$",
    "(a|b)",
];
pub const PATTERNS: &[&str] = &[
    "%", "", "a%", "%a", "%A%", "_", "__", "%é%", "É", "%ß", "k", "K", "%σ%", "Σ", "a\\%b",
    "a\\_b", "a_b", "a%b", "%[a]%", "%*%", "%?", "\\", "%\\%", "s%", "%.%", "^%", "%$", "(%|%)",
    "%0%", "-%", "%-01%", "%:00", "1%", "2%", "%%%a%%%",
];
pub const WHOLE: &[i64] = &[
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
pub const NUMBERS: &[f64] = &[
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
pub const TIMES: &[i64] = &[
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
pub const DOCUMENTS: &[&str] = &[
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
pub const PATHS: &[(&str, &[&str])] = &[
    ("$.a", &["a"]),
    ("$.b.c", &["b", "c"]),
    ("$.l[1]", &["l", "[1"]),
    ("$.l[3]", &["l", "[3"]),
    ("$[0]", &["[0"]),
];

/// Random numbers that a seed repeats (splitmix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut it = self.0;
        it = (it ^ (it >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        it = (it ^ (it >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((it ^ (it >> 31)) % n as u64).unwrap()
    }

    pub fn of<T: Clone>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())].clone()
    }
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Kind {
    Text,
    Whole,
    Number,
    Bool,
    Time,
    Json,
}

/// A value of a row, or of what is calculated of it.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Null,
    Text(String),
    Number(f64),
    Bool(bool),
    Json(Value),
}

pub type Row = Vec<Cell>;

/// What is out of the range of numbers or of the calendar; the server may refuse the query.
pub struct Beyond;

pub type Calc = Box<dyn Fn(&Row) -> Result<Cell, Beyond>>;
pub type Test = Box<dyn Fn(&Row) -> Result<Option<bool>, Beyond>>;

/// Whether an order is one that a sign asks for.
type Fits = fn(Ordering) -> bool;

/// A part of a date.
type Part = fn(DateTime) -> i64;

/// Makes texts of the language, each with what it means.
pub struct Maker<'a> {
    pub dice: &'a mut Dice,
    pub columns: &'a [(String, Kind)],
}

pub fn in_range(number: f64, may_be_zero: bool) -> Result<Cell, Beyond> {
    let fine = number.is_finite() && (number != 0.0 || may_be_zero);
    if fine { Ok(Cell::Number(number)) } else { Err(Beyond) }
}

pub fn both(a: Calc, b: Calc, f: impl Fn(f64, f64) -> Result<Cell, Beyond> + 'static) -> Calc {
    Box::new(move |row| match (a(row)?, b(row)?) {
        (Cell::Number(a), Cell::Number(b)) => f(a, b),
        _ => Ok(Cell::Null),
    })
}

#[expect(clippy::cast_possible_truncation, reason = "times are whole numbers below 2⁵³")]
pub fn civil(at: f64) -> DateTime {
    let seconds = Timestamp::from_millisecond(at as i64).unwrap();
    seconds.to_zoned(TimeZone::UTC).datetime()
}

pub fn written(number: f64) -> String {
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

pub fn folded(letter: char) -> char {
    match letter {
        'ς' => 'σ',
        'ẞ' => 'ß',
        'ſ' => 's',
        it => it.to_lowercase().next().unwrap(),
    }
}

pub fn is_like(text: &[char], pattern: &[char]) -> bool {
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

pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

pub fn order(a: &Cell, b: &Cell) -> Option<Ordering> {
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

    pub fn cell(&mut self, kind: Kind) -> Option<(String, Calc)> {
        let (text, index) = self.column(kind)?;
        Some((text, Box::new(move |row| Ok(row[index].clone()))))
    }

    #[expect(clippy::cast_precision_loss, reason = "all of them have 53 bits at most")]
    pub fn number(&mut self, depth: usize) -> Option<(String, Calc)> {
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
                        (format!("({a} / {b})"), both(f, g, over))
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

    pub fn text(&mut self, depth: usize) -> Option<(String, Calc)> {
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
            0 => (format!("upper({a})"), with(f, str::to_uppercase)),
            1 => (format!("LOWER({a})"), with(f, str::to_lowercase)),
            2 => (format!("Trim({a})"), with(f, |it| it.trim_matches(' ').to_owned())),
            3 => (format!("CONCAT({a}, 'É', 1)"), with(f, |it| format!("{it}É1"))),
            _ => (a, f),
        })
    }

    pub fn time(&mut self) -> Option<(String, Calc)> {
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

    pub fn test(&mut self, depth: usize) -> Option<(String, Test)> {
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
                    let same = |one: &i64| (*one as f64).total_cmp(&(it + 0.0)).is_eq();
                    let is = list.iter().any(same);
                    Ok(if !is && with_null { None } else { Some(is == not.is_empty()) })
                });
                (format!("{a} {not}in ({})", texts.join(", ")), test)
            }
            9 => {
                let not = if self.dice.below(3) == 0 { "not " } else { "" };
                let ((a, f), (low, least)) = (self.text(0)?, self.text(0)?);
                let (high, most) = self.text(0)?;
                let test: Test = Box::new(move |row| {
                    let (it, low, high) = (f(row)?, least(row)?, most(row)?);
                    let above = order(&it, &low).map(Ordering::is_ge);
                    let below = order(&it, &high).map(Ordering::is_le);
                    Ok(all(&[above, below]).map(|it| it == not.is_empty()))
                });
                (format!("{a} {not}between {low} and {high}"), test)
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

    fn sign(&mut self) -> (&'static str, Fits) {
        let signs: [(&str, Fits); 7] = [
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
pub fn all(tests: &[Option<bool>]) -> Option<bool> {
    if tests.contains(&Some(false)) {
        Some(false)
    } else if tests.contains(&None) {
        None
    } else {
        Some(true)
    }
}
