//! Dates as clients write them (D:3.6): a list of patterns, and ISO 8601.

/// The patterns, in the letters of Java's date format, in the order in which they are tried. What
/// could be read in two ways is read by the first: `MM-dd-yyyy` comes before `dd-MM-yyyy`. Those of
/// D:3.6 that are ISO 8601 are read as that; of those that differ in the zone's letter alone, one.
const PATTERNS: &[&str] = &[
    "EEE MMM dd HH:mm:ss zzz yyyy",
    "MM/dd/yyyy HH:mm:ss 'GMT'z",
    "MM.dd.yyyy HH:mm:ss 'GMT'z",
    "MM-dd-yyyy HH:mm:ss 'GMT'z",
    "MM/dd/yyyy HH:mm:ss z",
    "MM.dd.yyyy HH:mm:ss z",
    "MM.dd.yyyy HH:mm:ss",
    "MM-dd-yyyy HH:mm:ss",
    "MM/dd/yyyy HH:mm:ss",
    "MM.dd.yyyy",
    "MM-dd-yyyy",
    "MM/dd/yyyy HH:mm",
    "MM/dd/yyyy",
    "dd/MMM/yyyy",
    "dd-MMM-yyyy",
    "EEEEE, d MMMMM yyyy",
    "yyyy/MM/d/HH:mm:ss",
    "EEEEE, MMMMM d, yyyy",
    "MMMMM d, yyyy",
    "yyyy M d",
    "yyyyMMMd",
    "yyyy-MMM-d",
    "yyyy-M-d",
    "yyyy-M",
    "dd-MM-yyyy",
];

const MONTHS: &[&str] = &[
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

const WEEKDAYS: &[&str] =
    &["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// Names of zones, and their minutes east of Greenwich: those that Java writes for times of the
/// United States. No other name means one zone everywhere.
const ZONES: &[(&str, i64)] = &[
    ("GMT", 0),
    ("UTC", 0),
    ("UT", 0),
    ("Z", 0),
    ("EST", -300),
    ("EDT", -240),
    ("CST", -360),
    ("CDT", -300),
    ("MST", -420),
    ("MDT", -360),
    ("PST", -480),
    ("PDT", -420),
];

/// Milliseconds since 1970 of a date in one of the patterns of D:3.6 or in ISO 8601; UTC where it
/// names no zone. `None` for anything else, for days that no month has, and outside of the years 1
/// to 9999.
pub fn date(text: &str) -> Option<i64> {
    let text = text.trim();
    if text.len() > 64 {
        return None; // none is as long, and none of the patterns need be tried
    }
    PATTERNS.iter().find_map(|it| by_pattern(text, it)).or_else(|| iso(text))
}

/// What has been read of a date.
struct Moment {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
    second: i64,
    millis: i64,
    /// Minutes east of Greenwich.
    offset: i64,
}

impl Moment {
    const START: Self =
        Self { year: 1, month: 1, day: 1, hour: 0, minute: 0, second: 0, millis: 0, offset: 0 };

    fn epoch(&self) -> Option<i64> {
        let leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        let days = match self.month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let there = (1..=9999).contains(&self.year)
            && (1..=12).contains(&self.month)
            && (1..=days).contains(&self.day)
            && self.hour < 24
            && self.minute < 60
            && self.second < 60;
        if !there {
            return None;
        }
        // Years from March on, so that the leap day is the last of its year.
        let years = self.year - i64::from(self.month < 3);
        let months = (self.month + 9) % 12;
        let days =
            years * 365 + years / 4 - years / 100 + years / 400 + (months * 153 + 2) / 5 + self.day
                - 719_469;
        let minutes = (days * 24 + self.hour) * 60 + self.minute - self.offset;
        let millis = (minutes * 60 + self.second) * 1_000 + self.millis;
        (FIRST..=LAST).contains(&millis).then_some(millis)
    }
}

/// The first millisecond of the year 1 and the last of the year 9999.
const FIRST: i64 = -62_135_596_800_000;
const LAST: i64 = 253_402_300_799_999;

fn by_pattern(text: &str, pattern: &str) -> Option<i64> {
    let mut moment = Moment::START;
    let mut rest = text;
    let mut letters = pattern.chars().peekable();
    while let Some(letter) = letters.next() {
        let mut count = 1;
        while letter.is_ascii_alphabetic() && letters.next_if_eq(&letter).is_some() {
            count += 1;
        }
        match letter {
            'E' => _ = name(&mut rest, WEEKDAYS)?,
            'y' => moment.year = number(&mut rest, 4, 4)?,
            'M' if count > 2 => moment.month = name(&mut rest, MONTHS)?,
            'M' => moment.month = number(&mut rest, 1, 2)?,
            'd' => moment.day = number(&mut rest, 1, 2)?,
            'H' => moment.hour = number(&mut rest, 1, 2)?,
            'm' => moment.minute = number(&mut rest, 2, 2)?,
            's' => moment.second = number(&mut rest, 2, 2)?,
            'z' => moment.offset = zone(&mut rest)?,
            '\'' => {
                while let Some(plain) = letters.next().filter(|it| *it != '\'') {
                    rest = rest.strip_prefix(plain)?;
                }
            }
            plain => rest = rest.strip_prefix(plain)?,
        }
    }
    if rest.is_empty() { moment.epoch() } else { None }
}

/// `2015-03-23T10:00:00.000+01:00`; seconds, their fraction and the zone may be absent.
fn iso(text: &str) -> Option<i64> {
    let (mut moment, mut rest) = (Moment::START, text);
    moment.year = number(&mut rest, 4, 4)?;
    rest = rest.strip_prefix('-')?;
    moment.month = number(&mut rest, 2, 2)?;
    rest = rest.strip_prefix('-')?;
    moment.day = number(&mut rest, 2, 2)?;
    rest = rest.strip_prefix(['T', 't', ' '])?;
    moment.hour = number(&mut rest, 2, 2)?;
    rest = rest.strip_prefix(':')?;
    moment.minute = number(&mut rest, 2, 2)?;
    if let Some(seconds) = rest.strip_prefix(':') {
        rest = seconds;
        moment.second = number(&mut rest, 2, 2)?;
        if let Some(fraction) = rest.strip_prefix(['.', ',']) {
            let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
            let (digits, after) = fraction.split_at(digits);
            rest = after;
            let millis = digits.get(..3.min(digits.len())).filter(|it| !it.is_empty())?;
            moment.millis = format!("{millis:0<3}").parse().ok()?;
        }
    }
    rest = rest.trim_start();
    if !rest.is_empty() {
        moment.offset = zone(&mut rest)?;
    }
    if rest.is_empty() { moment.epoch() } else { None }
}

/// A number of so many digits.
fn number(rest: &mut &str, least: usize, most: usize) -> Option<i64> {
    let digits = rest.bytes().take(most).take_while(u8::is_ascii_digit).count();
    let (digits, after) = rest.split_at(digits);
    *rest = after;
    (digits.len() >= least).then(|| digits.parse().ok()).flatten()
}

/// The number, from 1, of a name of the list: whole, or its first three letters.
fn name(rest: &mut &str, names: &[&str]) -> Option<i64> {
    let length = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (word, after) = rest.split_at(length);
    *rest = after;
    let found = names
        .iter()
        .position(|it| it.eq_ignore_ascii_case(word) || it[..3].eq_ignore_ascii_case(word))?;
    i64::try_from(found + 1).ok()
}

/// A zone, in minutes: a name, `-0200`, `+02:00`, `+02`, or a name and such a number, `GMT-0200`.
fn zone(rest: &mut &str) -> Option<i64> {
    let length = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (word, after) = rest.split_at(length);
    *rest = after;
    let named = ZONES.iter().find(|it| it.0.eq_ignore_ascii_case(word)).map(|it| it.1);
    if !word.is_empty() && (named != Some(0) || after.is_empty()) {
        return named;
    }
    let sign = match after.bytes().next() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ => return named,
    };
    *rest = &after[1..];
    let hours = number(rest, 1, 2)?;
    *rest = rest.strip_prefix(':').unwrap_or(rest);
    let minutes =
        if rest.starts_with(|it: char| it.is_ascii_digit()) { number(rest, 2, 2)? } else { 0 };
    (hours <= 18 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}
