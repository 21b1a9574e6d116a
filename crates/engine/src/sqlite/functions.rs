//! Functions that SQLite lacks, or has in other words than PostgreSQL: what the templates of
//! `calc.rs` call. They give what PostgreSQL gives.

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

/// A glob: `*`, `?`, `[abc]` and letters.
struct Pattern(Vec<Piece>);

enum Piece {
    Any,
    One,
    OneOf(Vec<char>),
}

impl Piece {
    fn takes(&self, letter: char) -> bool {
        match self {
            Self::OneOf(letters) => letters.contains(&letter),
            Self::Any | Self::One => true,
        }
    }
}

impl Pattern {
    fn read(text: &str) -> Self {
        let (mut letters, mut pieces) = (text.chars(), Vec::new());
        while let Some(letter) = letters.next() {
            pieces.push(match letter {
                '*' => Piece::Any,
                '?' => Piece::One,
                '[' => Piece::OneOf(letters.by_ref().take_while(|it| *it != ']').collect()),
                letter => Piece::OneOf(vec![letter]),
            });
        }
        Self(pieces)
    }

    /// Whether the whole text is as the pattern wants it. Only what follows the last `*` is tried
    /// again and again: so it takes at most as many steps as the product of the two lengths.
    fn fits(&self, text: &str) -> bool {
        let (mut at, mut place) = (0, 0);
        let mut again: Option<(usize, usize)> = None;
        loop {
            let letter = text[at..].chars().next();
            match (self.0.get(place), letter) {
                (Some(Piece::Any), _) => {
                    place += 1;
                    if place == self.0.len() {
                        return true;
                    }
                    again = Some((place, at));
                }
                (Some(piece), Some(letter)) if piece.takes(letter) => {
                    at += letter.len_utf8();
                    place += 1;
                }
                (None, None) => return true,
                // Whoever begins later has even less of the text left.
                (Some(_), None) => return false,
                (_, Some(_)) => {
                    let Some((first, from)) = again else { return false };
                    let next = text[from..].chars().next().map_or(1, char::len_utf8);
                    (at, place, again) = (from + next, first, Some((first, from + next)));
                }
            }
        }
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
