//! Functions that SQLite lacks, or has in other words than PostgreSQL: what the templates of
//! `calc.rs` call. They give what PostgreSQL gives.

use std::collections::HashMap;
use std::convert::Infallible;

use rusqlite::functions::{Context, FunctionFlags};
use rusqlite::types::{ToSql, ValueRef};
use rusqlite::{Connection, Error, Result};

use crate::civil::{Civil, DAY, day_of, iso_week, weekday};

/// The message of a function whose result is out of range.
pub(super) const RANGE: &str = "usher: out of range";

/// Makes the functions known to a connection. None can be used by what lies in a file, such as an
/// index or a view: other tools do not know them.
pub(super) fn register(connection: &Connection) -> Result<()> {
    numbers(connection, "usher_add", |a, b| checked(a + b, true))?;
    numbers(connection, "usher_subtract", |a, b| checked(a - b, true))?;
    numbers(connection, "usher_multiply", |a, b| checked(a * b, a == 0.0 || b == 0.0))?;
    numbers(connection, "usher_divide", |a, b| {
        if b == 0.0 { Ok(None) } else { checked(a / b, a == 0.0) }
    })?;
    numbers(connection, "usher_modulo", |a, b| Ok(modulo(a, b)))?;
    one(connection, "usher_ceil", |it| Ok(number(it).map(f64::ceil)))?;
    one(connection, "usher_floor", |it| Ok(number(it).map(f64::floor)))?;
    one(connection, "usher_number_text", |it| Ok(number(it).map(number_text)))?;
    one(connection, "usher_time_text", |it| Ok(whole(it).map(time_text)))?;
    one(connection, "usher_upper", |it| Ok(text(it).map(str::to_uppercase)))?;
    one(connection, "usher_lower", |it| Ok(text(it).map(str::to_lowercase)))?;
    one(connection, "usher_day", |it| Ok(whole(it).map(|it| day_of(it) * DAY)))?;
    one(connection, "usher_json_number", |it| {
        let digit = |it: &&str| it.starts_with(|it: char| it == '-' || it.is_ascii_digit());
        Ok(text(it).filter(digit).and_then(|it| it.parse::<f64>().ok()))
    })?;
    // Its own GLOB takes five times as long where a pattern has classes of letters.
    connection.create_scalar_function("usher_like", 2, flags(), |it| {
        let Some(text) = text(it.get_raw(0)) else { return Ok(None) };
        let pattern = it.get_or_create_aux(1, |pattern| {
            Ok::<_, Infallible>(self::text(pattern).map(Pattern::read))
        })?;
        Ok(pattern.as_ref().as_ref().map(|it| it.fits(text)))
    })?;
    two(connection, "usher_date_part", |part, at| {
        let (Some(part), Some(at)) = (text(part), whole(at)) else { return Ok(None) };
        #[expect(clippy::cast_precision_loss, reason = "parts of dates are small")]
        Ok(date_part(part, at).map(|it| it as f64))
    })?;
    two(connection, "usher_add_months", |at, months| {
        let (Some(at), Some(months)) = (whole(at), whole(months)) else { return Ok(None) };
        let moved = Civil::of(day_of(at)).plus_months(months).days();
        Ok(Some(moved * DAY + at.rem_euclid(DAY)))
    })
}

fn flags() -> FunctionFlags {
    FunctionFlags::SQLITE_UTF8
        | FunctionFlags::SQLITE_DETERMINISTIC
        | FunctionFlags::SQLITE_DIRECTONLY
}

fn one<T: ToSql>(
    connection: &Connection,
    name: &str,
    f: impl Fn(ValueRef<'_>) -> Result<Option<T>> + Send + 'static,
) -> Result<()> {
    let call = move |it: &mut Context<'_>| f(it.get_raw(0));
    connection.create_scalar_function(name, 1, flags(), call)
}

fn two<T: ToSql>(
    connection: &Connection,
    name: &str,
    f: impl Fn(ValueRef<'_>, ValueRef<'_>) -> Result<Option<T>> + Send + 'static,
) -> Result<()> {
    let call = move |it: &mut Context<'_>| f(it.get_raw(0), it.get_raw(1));
    connection.create_scalar_function(name, 2, flags(), call)
}

fn numbers(
    connection: &Connection,
    name: &str,
    f: impl Fn(f64, f64) -> Result<Option<f64>> + Send + 'static,
) -> Result<()> {
    two(connection, name, move |a, b| match (number(a), number(b)) {
        (Some(a), Some(b)) => f(a, b),
        _ => Ok(None),
    })
}

#[expect(clippy::cast_precision_loss, reason = "whole numbers of users have 53 bits at most")]
fn number(value: ValueRef<'_>) -> Option<f64> {
    match value {
        ValueRef::Integer(it) => Some(it as f64),
        ValueRef::Real(it) => Some(it),
        _ => None,
    }
}

fn whole(value: ValueRef<'_>) -> Option<i64> {
    if let ValueRef::Integer(it) = value { Some(it) } else { None }
}

fn text(value: ValueRef<'_>) -> Option<&str> {
    value.as_str().ok()
}

/// A result that is neither infinite nor, unless it may be, zero: PostgreSQL refuses both.
fn checked(result: f64, may_be_zero: bool) -> Result<Option<f64>> {
    if result.is_finite() && (may_be_zero || result != 0.0) {
        Ok(Some(result))
    } else {
        Err(Error::UserFunctionError(RANGE.into()))
    }
}

/// A number as digits and a power of ten: the shortest decimal that means it.
fn decimal(number: f64) -> (u64, i32) {
    let text = format!("{:e}", number.abs());
    let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let places = i32::try_from(fraction.len()).unwrap_or(0);
    let power: i32 = power.parse().unwrap_or(0);
    (format!("{whole}{fraction}").parse().unwrap_or(0), power - places)
}

/// What is left of `a / b`, of the decimals that the two are written as.
fn modulo(a: f64, b: f64) -> Option<f64> {
    if b == 0.0 {
        return None;
    }
    let ((a_digits, a_power), (b_digits, b_power)) = (decimal(a), decimal(b));
    let (digits, divisor) = (u128::from(a_digits), u128::from(b_digits));
    let rest = if a_power >= b_power {
        let mut rest = digits % divisor;
        for _ in b_power..a_power {
            rest = rest * 10 % divisor;
        }
        rest
    } else {
        // No digits of a number reach beyond 10¹⁷: a divisor that does leaves all of it.
        let more = b_power.abs_diff(a_power).min(20);
        digits % (divisor * 10_u128.pow(more))
    };
    let size: f64 = format!("{rest}e{}", a_power.min(b_power)).parse().unwrap_or(0.0);
    Some(if a < 0.0 { 0.0 - size } else { size })
}

/// The digits of PostgreSQL: plain from 0.0001 to 10¹⁵, else with a power of ten.
fn number_text(number: f64) -> String {
    if number == 0.0 {
        return "0".to_owned();
    }
    let sign = if number < 0.0 { "-" } else { "" };
    let text = format!("{:e}", number.abs());
    let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    if (-4..15).contains(&power) {
        return format!("{number}");
    }
    let power_sign = if power < 0 { '-' } else { '+' };
    format!("{sign}{digits}e{power_sign}{:02}", power.abs())
}

fn time_text(at: i64) -> String {
    let Civil { year, month, day } = Civil::of(day_of(at));
    let seconds = at.rem_euclid(DAY) / 1000;
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    // There is no year 0, and PostgreSQL leaves it to others to say on which side of it a year is.
    let year = if year > 0 { year } else { 1 - year };
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}")
}

fn date_part(part: &str, at: i64) -> Option<i64> {
    let days = day_of(at);
    let civil = Civil::of(days);
    Some(match part {
        "year" if civil.year > 0 => civil.year,
        "year" => civil.year - 1,
        "quarter" => (civil.month - 1) / 3 + 1,
        "month" => civil.month,
        "day" => civil.day,
        "doy" => civil.of_year(),
        "dow" => weekday(days) + 1,
        "hour" => at.rem_euclid(DAY) / 3_600_000,
        "minute" => at.rem_euclid(3_600_000) / 60_000,
        "second" => at.rem_euclid(60_000) / 1_000,
        "week" => iso_week(days),
        "sundays" => (civil.of_year() + 6 - weekday(days)) / 7,
        _ => return None,
    })
}

/// A glob: `*`, `?`, `[abc]` and letters, as the runs between its stars.
struct Pattern {
    first: Vec<Piece>,
    middle: Vec<Run>,
    /// Absent: there is no star.
    last: Option<Vec<Piece>>,
}

enum Piece {
    One,
    OneOf(Vec<char>),
}

impl Piece {
    fn takes(&self, letter: char) -> bool {
        match self {
            Self::OneOf(letters) => letters.contains(&letter),
            Self::One => true,
        }
    }
}

impl Pattern {
    fn read(text: &str) -> Self {
        let mut letters = text.chars();
        let mut runs = vec![Vec::new()];
        while let Some(letter) = letters.next() {
            let piece = match letter {
                '*' => {
                    runs.push(Vec::new());
                    continue;
                }
                '?' => Piece::One,
                '[' => Piece::OneOf(letters.by_ref().take_while(|it| *it != ']').collect()),
                letter => Piece::OneOf(vec![letter]),
            };
            if let Some(run) = runs.last_mut() {
                run.push(piece);
            }
        }
        let last = if runs.len() > 1 { runs.pop() } else { None };
        let mut runs = runs.into_iter();
        let first = runs.next().unwrap_or_default();
        let middle = runs.filter(|it| !it.is_empty()).map(Run::of).collect();
        Self { first, middle, last }
    }

    /// Whether the whole text is as the pattern wants it. Each run between stars is taken where it
    /// comes first, so the text is read once.
    fn fits(&self, text: &str) -> bool {
        let Some(mut at) = begins(&self.first, text) else { return false };
        let Some(last) = &self.last else { return at == text.len() };
        for run in &self.middle {
            let Some(end) = run.end_in(&text[at..]) else { return false };
            at += end;
        }
        let rest = &text[at..];
        let Some(before) = last.len().checked_sub(1) else { return true };
        let from = rest.char_indices().rev().nth(before);
        from.is_some_and(|(from, _)| begins(last, &rest[from..]).is_some())
    }
}

/// Where the pieces end if the text begins as they want it.
fn begins(pieces: &[Piece], text: &str) -> Option<usize> {
    let mut letters = text.chars();
    let all = pieces.iter().all(|it| letters.next().is_some_and(|letter| it.takes(letter)));
    all.then(|| text.len() - letters.as_str().len())
}

/// What stands between two stars.
enum Run {
    Short(Vec<Piece>),
    Long(Bits),
}

impl Run {
    fn of(pieces: Vec<Piece>) -> Self {
        // Shorter ones are tried at every place.
        if pieces.len() <= 8 { Self::Short(pieces) } else { Self::Long(Bits::of(&pieces)) }
    }

    /// Where it ends in a text, the first time that it is there.
    fn end_in(&self, text: &str) -> Option<usize> {
        match self {
            Self::Short(pieces) => text
                .char_indices()
                .find_map(|(at, _)| begins(pieces, &text[at..]).map(|it| at + it)),
            Self::Long(bits) => bits.end_in(text),
        }
    }
}

/// For each letter the places of a run that take it, as bits. A letter of a text costs one step for
/// 64 places, whatever the two look like.
struct Bits {
    places: usize,
    ascii: Vec<Box<[u64]>>,
    others: HashMap<char, Box<[u64]>>,
    any: Box<[u64]>,
}

impl Bits {
    fn of(pieces: &[Piece]) -> Self {
        let mut any = vec![0; pieces.len().div_ceil(64)].into_boxed_slice();
        for (place, piece) in pieces.iter().enumerate() {
            if matches!(piece, Piece::One) {
                any[place / 64] |= 1 << (place % 64);
            }
        }
        let mut ascii = vec![any.clone(); 128];
        let mut others = HashMap::new();
        for (place, piece) in pieces.iter().enumerate() {
            let Piece::OneOf(letters) = piece else { continue };
            for letter in letters {
                let takes = match ascii.get_mut(*letter as usize) {
                    Some(takes) => takes,
                    None => others.entry(*letter).or_insert_with(|| any.clone()),
                };
                takes[place / 64] |= 1 << (place % 64);
            }
        }
        Self { places: pieces.len(), ascii, others, any }
    }

    fn end_in(&self, text: &str) -> Option<usize> {
        let last = self.places - 1;
        // A bit says that the run up to its place ends at the letter.
        let mut found = self.any.clone();
        found.fill(0);
        for (at, letter) in text.char_indices() {
            let known = self.ascii.get(letter as usize).or_else(|| self.others.get(&letter));
            let mut carried = 1;
            for (word, takes) in found.iter_mut().zip(known.unwrap_or(&self.any)) {
                let next = (*word << 1 | carried) & takes;
                carried = *word >> 63;
                *word = next;
            }
            if found[last / 64] >> (last % 64) & 1 == 1 {
                return Some(at + letter.len_utf8());
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_fit_as_globs_do() {
        for (pattern, text, fits) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("a*", "abc", true),
            ("*c", "abcbc", true),
            ("*[bB]?*", "xBy", true),
            ("*[bB]?*", "xb", false),
            ("?", "é", true),
            ("[[]*[*][?]", "[é*?", true),
            ("*ab*ab", "abxab", true),
            ("*ab*ab", "abab", true),
            ("*ab*ab", "ab", false),
            ("a*b*c", "aXbXbc", true),
            ("a]", "a]", true),
        ] {
            assert_eq!(Pattern::read(pattern).fits(text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn long_globs_fit_as_short_ones_do() {
        for (length, more) in [(8, ""), (9, ""), (64, ""), (65, "x"), (200, "é")] {
            let run = format!("{}[bBß]", "[aA]".repeat(length - 1));
            let text = format!("{}b", "aA".repeat(length));
            for (pattern, fits) in [
                (format!("*{run}*"), true),
                (format!("*{run}"), more.is_empty()),
                (format!("*{run}?"), !more.is_empty()),
                (format!("*{run}[aA]*"), false),
                (format!("*?{run}*"), true),
                (format!("*{run}*{run}*"), false),
                (format!("*[éa]{}*{run}*", "?".repeat(length - 1)), true),
                (format!("*{}[bB]*{run}*", "?".repeat(length)), false),
                (format!("{run}*"), false),
            ] {
                assert_eq!(
                    Pattern::read(&pattern).fits(&format!("{text}{more}")),
                    fits,
                    "{pattern}"
                );
            }
        }
    }

    #[test]
    fn every_glob_fits_as_trying_all_ways_says() {
        fn tried(pattern: &[u8], text: &[u8]) -> bool {
            match (pattern.first(), text.first()) {
                (None, None) => true,
                (Some(b'*'), _) => (0..=text.len()).any(|it| tried(&pattern[1..], &text[it..])),
                (Some(b'?'), Some(_)) => tried(&pattern[1..], &text[1..]),
                (Some(one), Some(other)) => one == other && tried(&pattern[1..], &text[1..]),
                _ => false,
            }
        }
        let word = |letters: &[u8], length: u32, mut number: usize| -> String {
            let letter = |_| {
                let letter = letters[number % letters.len()];
                number /= letters.len();
                char::from(letter)
            };
            (0..length).map(letter).collect()
        };
        for length in 0..5 {
            for number in 0..4_usize.pow(length) {
                let pattern = word(b"ab*?", length, number);
                for letters in 0..6 {
                    for number in 0..2_usize.pow(letters) {
                        let text = word(b"ab", letters, number);
                        let expected = tried(pattern.as_bytes(), text.as_bytes());
                        assert_eq!(
                            Pattern::read(&pattern).fits(&text),
                            expected,
                            "{pattern} {text}"
                        );
                        // The same with long runs.
                        let long = |it: &str| it.replace('a', &"a".repeat(10));
                        let (pattern, text) = (long(&pattern), long(&text));
                        if !pattern.contains('?') {
                            let expected = tried(pattern.as_bytes(), text.as_bytes());
                            assert_eq!(Pattern::read(&pattern).fits(&text), expected, "{pattern}");
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn remainders_are_those_of_decimals() {
        for (a, b, expected) in [
            (7.0, 3.0, 1.0),
            (-7.0, 3.0, -1.0),
            (7.0, -3.0, 1.0),
            (5.5, 2.0, 1.5),
            (5.5, 0.1, 0.0),
            (0.3, 0.1, 0.0),
            (9_007_199_254_740_991.0, 10.0, 1.0),
            (1e300, 7.0, 1.0),
            (5e-324, 3.0, 5e-324),
            (3.0, 1e300, 3.0),
            (1e22, 1e-5, 0.0),
        ] {
            assert_eq!(modulo(a, b), Some(expected), "{a} % {b}");
        }
        assert_eq!(modulo(1.0, 0.0), None);
    }

    #[test]
    fn numbers_are_written_as_postgresql_writes_them() {
        for (number, expected) in [
            (0.0, "0"),
            (-0.0, "0"),
            (1.0, "1"),
            (-2.5, "-2.5"),
            (0.1 + 0.2, "0.30000000000000004"),
            (0.0001, "0.0001"),
            (0.00001, "1e-05"),
            (123_456_789_012_345.0, "123456789012345"),
            (1e15, "1e+15"),
            (-1.5e300, "-1.5e+300"),
            (5e-324, "5e-324"),
        ] {
            assert_eq!(number_text(number), expected);
        }
    }
}
