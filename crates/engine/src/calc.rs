//! What a query may calculate, in the words of each engine, with the same results on both.
//!
//! Numbers are calculated as 64-bit floating point. A result beyond its range fails with
//! [`Error::Range`](crate::Error::Range), as does one that is too small to be told from zero; a
//! division by zero is null. Times are milliseconds since 1970, days begin at midnight UTC.

use std::fmt::Write as _;

use crate::dialect::Dialect;
use crate::value::Value;

macro_rules! calculations {
    ($($name:ident $sqlite:literal $postgres:literal $what:literal;)*) => {
        /// A calculation. Its template has `{0}`, `{1}` … for the operands.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Calc {
            $(#[doc = $what] $name,)*
        }

        #[cfg(test)]
        const ALL: &[Calc] = &[$(Calc::$name),*];

        impl Dialect {
            /// The template of a calculation.
            pub fn calc(&self, calc: Calc) -> &'static str {
                match (self, calc) {
                    $((Self::Sqlite, Calc::$name) => $sqlite,
                    (Self::Postgres, Calc::$name) => $postgres,)*
                }
            }
        }
    };
}

// Each is one primary, so that it can stand anywhere in another, and names an operand that may be
// calculated once: what is nested would else double with every level. `offset 0` keeps PostgreSQL's
// planner from writing an operand to two places.
//
// PostgreSQL's times: to the second by way of a float, which is exact for all years up to 9999 and
// far beyond, because a whole second is a multiple of 64 microseconds.
calculations! {
    Number "cast({0} as real)" "cast({0} as double precision)" "A whole number or a time as a number.";
    Add "usher_add({0}, {1})" "({0} + {1})" "The sum of two numbers.";
    Subtract "usher_subtract({0}, {1})" "({0} - {1})" "The difference of two numbers.";
    Multiply "usher_multiply({0}, {1})" "({0} * {1})" "The product of two numbers.";
    Divide "usher_divide({0}, {1})" "({0} / nullif({1}, 0))" "The quotient of two numbers; null by zero.";
    Modulo "usher_modulo({0}, {1})" "cast(mod(cast(cast({0} as text) as numeric), nullif(cast(cast({1} as text) as numeric), 0)) as double precision)" "What is left of the decimal division of two numbers, with the sign of the first; null by zero.";
    Negate "(- {0})" "(- {0})" "A number with the other sign.";
    Abs "abs({0})" "abs({0})" "A number without its sign.";
    Ceil "usher_ceil({0})" "ceil({0})" "The next whole number up.";
    Floor "usher_floor({0})" "floor({0})" "The next whole number down.";
    WholeText "cast({0} as text)" "(cast({0} as text) collate \"C\")" "A whole number in digits.";
    NumberText "usher_number_text({0})" "(cast({0} + 0.0 as text) collate \"C\")" "A number in its shortest digits.";
    TimeText "usher_time_text({0})" "(to_char((timestamp '1970-01-01' + floor({0} / 1000.0) * interval '1 second'), 'YYYY-MM-DD HH24:MI:SS') collate \"C\")" "A time as 2023-11-14 22:13:20.";
    ClockText "substr(usher_time_text({0}), -8)" "(to_char((timestamp '1970-01-01' + floor({0} / 1000.0) * interval '1 second'), 'HH24:MI:SS') collate \"C\")" "The time of the day, as 22:13:20.";
    Upper "usher_upper({0})" "(upper({0} collate \"und-x-icu\") collate \"C\")" "A text in capitals (Unicode).";
    Lower "usher_lower({0})" "(lower({0} collate \"und-x-icu\") collate \"C\")" "A text in small letters (Unicode).";
    Join "({0} || {1})" "({0} || {1})" "Two texts as one.";
    Length "cast(length({0}) as real)" "cast(char_length({0}) as double precision)" "The number of characters.";
    Trim "trim({0}, ' ')" "btrim({0}, ' ')" "A text without spaces at its ends.";
    TrimStart "ltrim({0}, ' ')" "ltrim({0}, ' ')" "A text without spaces at its beginning.";
    TrimEnd "rtrim({0}, ' ')" "rtrim({0}, ' ')" "A text without spaces at its end.";
    Seconds "cast(usher_floor({0} / 1000.0) as real)" "cast(floor({0} / 1000.0) as double precision)" "A time in whole seconds.";
    Day "usher_day({0})" "(cast(floor({0} / 86400000.0) as bigint) * 86400000)" "The midnight before a time.";
    DayDiff "cast((usher_day({0}) - usher_day({1})) / 86400000 as real)" "cast(floor({0} / 86400000.0) - floor({1} / 86400000.0) as double precision)" "Days from the second time to the first.";
    Year "usher_date_part('year', {0})" "cast(extract(year from (timestamp '1970-01-01' + floor({0} / 1000.0) * interval '1 second')) as double precision)" "The year.";
    Quarter "usher_date_part('quarter', {0})" "cast(extract(quarter from (timestamp '1970-01-01' + floor({0} / 1000.0) * interval '1 second')) as double precision)" "The quarter of the year.";
    Month "usher_date_part('month', {0})" "cast(extract(month from (timestamp '1970-01-01' + floor({0} / 1000.0) * interval '1 second')) as double precision)" "The month.";
    DayOfMonth "usher_date_part('day', {0})" "cast(extract(day from (timestamp '1970-01-01' + floor({0} / 1000.0) * interval '1 second')) as double precision)" "The day of the month.";
    DayOfYear "usher_date_part('doy', {0})" "cast(extract(doy from (timestamp '1970-01-01' + floor({0} / 1000.0) * interval '1 second')) as double precision)" "The day of the year.";
    DayOfWeek "usher_date_part('dow', {0})" "cast(extract(dow from (timestamp '1970-01-01' + floor({0} / 1000.0) * interval '1 second')) + 1 as double precision)" "The day of the week; Sunday is 1.";
    Hour "usher_date_part('hour', {0})" "cast(extract(hour from (timestamp '1970-01-01' + floor({0} / 1000.0) * interval '1 second')) as double precision)" "The hour.";
    Minute "usher_date_part('minute', {0})" "cast(extract(minute from (timestamp '1970-01-01' + floor({0} / 1000.0) * interval '1 second')) as double precision)" "The minute.";
    Second "usher_date_part('second', {0})" "cast(extract(second from (timestamp '1970-01-01' + floor({0} / 1000.0) * interval '1 second')) as double precision)" "The whole second.";
    IsoWeek "usher_date_part('week', {0})" "cast(extract(week from (timestamp '1970-01-01' + floor({0} / 1000.0) * interval '1 second')) as double precision)" "The ISO week of the year.";
    SundayWeek "usher_date_part('sundays', {0})" "(select cast(floor((extract(doy from moment) + 6 - extract(dow from moment)) / 7) as double precision) from (select timestamp '1970-01-01' + floor({0} / 1000.0) * interval '1 second' as moment offset 0) as one)" "The week of the year; the first begins with its first Sunday.";
    AddMonths "usher_add_months({0}, {1})" "(cast(extract(epoch from timestamp '1970-01-01' + floor({0} / 1000.0) * interval '1 second' + {1} * interval '1 month') * 1000 as bigint) + mod(mod({0}, 1000) + 1000, 1000))" "A time so many months later; the last day of a shorter month.";
    AddMillis "({0} + {1})" "({0} + {1})" "A time so many milliseconds later.";
    JsonNumber "usher_json_number({0})" "(case when jsonb_typeof({0}) = 'number' then cast({0} as double precision) end)" "A JSON value that is a number.";
    JsonText "(case when json_type({0}) = 'text' then ({0}) ->> '$' end)" "((case when jsonb_typeof({0}) = 'string' then ({0}) #>> array[]::text[] end) collate \"C\")" "A JSON value that is a text.";
    JsonBool "(case json_type({0}) when 'true' then 1 when 'false' then 0 end)" "(case when jsonb_typeof({0}) = 'boolean' then cast({0} as boolean) end)" "A JSON value that is true or false.";
    JsonSet "(case when json_type({0}) <> 'null' then 1 end)" "(case when jsonb_typeof({0}) <> 'null' then 1 end)" "1 for a JSON value that is there and not null.";
    Like "usher_like({0}, {1})" "({0} ~ {1})" "Whether a text is as a pattern wants it.";
}

/// One piece of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wild {
    /// Any run of characters, also none.
    Any,
    /// One character.
    One,
    /// One of these, or this one.
    OneOf(Vec<char>),
}

impl Dialect {
    /// The text of a pattern for [`Calc::Like`]: a glob or a regular expression. Neither folds case
    /// by the engine's tables, so both find the same: what counts as the same letter, the pieces
    /// say.
    pub fn pattern(&self, pieces: &[Wild]) -> String {
        match self {
            Self::Sqlite => glob(pieces),
            Self::Postgres => regex(pieces),
        }
    }

    /// A value for the right side of `->`: the key of an object.
    pub fn json_key(&self, key: &str) -> Value {
        Value::Text(match self {
            Self::Postgres => key.to_owned(),
            Self::Sqlite => {
                let mut path = "$.\"".to_owned();
                for letter in key.chars() {
                    match letter {
                        '"' | '\\' => {
                            path.push('\\');
                            path.push(letter);
                        }
                        // Writing to a String cannot fail.
                        it if it < ' ' => _ = write!(path, "\\u{:04x}", u32::from(it)),
                        it => path.push(it),
                    }
                }
                path.push('"');
                path
            }
        })
    }

    /// A value for the right side of `->`: the index in an array.
    pub fn json_index(&self, index: u32) -> Value {
        match self {
            Self::Sqlite => Value::Text(format!("$[{index}]")),
            // It reads a number of 32 bits with a sign; no array is as long.
            Self::Postgres => Value::Int(index.min(i32::MAX.unsigned_abs()).into()),
        }
    }

    /// What a numbered placeholder begins with, in a statement that is not translated.
    pub fn placeholder(&self) -> &'static str {
        match self {
            Self::Sqlite => "?",
            Self::Postgres => "$",
        }
    }

    /// Before and after a placeholder, so that its type is known.
    pub fn typed(&self, wanted: Wanted) -> (&'static str, &'static str) {
        match (self, wanted) {
            (Self::Sqlite, _) => ("", ""),
            (_, Wanted::Text) => ("(cast(", " as text) collate \"C\")"),
            (_, Wanted::Key) => ("cast(", " as text)"),
            (_, Wanted::Whole) => ("cast(", " as bigint)"),
            (_, Wanted::Index) => ("cast(", " as integer)"),
            (_, Wanted::Number) => ("cast(", " as double precision)"),
            (_, Wanted::Bool) => ("cast(", " as boolean)"),
        }
    }
}

/// The type of a parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Wanted {
    /// A text, compared byte by byte.
    Text,
    /// A whole number or a time.
    Whole,
    /// A number.
    Number,
    /// True or false.
    Bool,
    /// The key of a JSON object.
    Key,
    /// The index in a JSON array.
    Index,
}

fn merged(pieces: &[Wild]) -> impl Iterator<Item = &Wild> {
    let mut after_any = false;
    pieces.iter().filter(move |it| {
        let is_any = **it == Wild::Any;
        !(std::mem::replace(&mut after_any, is_any) && is_any)
    })
}

fn glob(pieces: &[Wild]) -> String {
    let mut text = String::new();
    for piece in merged(pieces) {
        match piece {
            Wild::Any => text.push('*'),
            Wild::One => text.push('?'),
            Wild::OneOf(letters) => match letters.as_slice() {
                [one] if !"*?[".contains(*one) => text.push(*one),
                some => {
                    text.push('[');
                    text.extend(some);
                    text.push(']');
                }
            },
        }
    }
    text
}

fn regex(pieces: &[Wild]) -> String {
    let mut text = "^".to_owned();
    for piece in merged(pieces) {
        match piece {
            Wild::Any => text.push_str(".*"),
            Wild::One => text.push('.'),
            Wild::OneOf(letters) => match letters.as_slice() {
                [one] => {
                    if one.is_ascii_punctuation() {
                        text.push('\\');
                    }
                    text.push(*one);
                }
                some => {
                    text.push('[');
                    text.extend(some);
                    text.push(']');
                }
            },
        }
    }
    text.push('$');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a template is a call or stands in parentheses, from its first to its last character.
    fn is_primary(template: &str) -> bool {
        let (mut depth, mut quoted) = (0, false);
        let word = template.trim_start_matches(|it: char| it.is_ascii_lowercase() || it == '_');
        for (index, letter) in word.char_indices() {
            match letter {
                '\'' => quoted = !quoted,
                '(' if !quoted => depth += 1,
                ')' if !quoted => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return !quoted && index + 1 == word.len();
            }
        }
        false
    }

    #[test]
    fn templates_stand_anywhere_in_each_other_and_do_not_double_what_is_calculated() {
        // The operands of these are columns, values and parts of columns alone.
        let plain =
            [Calc::AddMonths, Calc::JsonNumber, Calc::JsonText, Calc::JsonBool, Calc::JsonSet];
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            for calc in ALL {
                let template = dialect.calc(*calc);
                assert!(is_primary(template), "{calc:?} {template}");
                for operand in ["{0}", "{1}"] {
                    let times = template.matches(operand).count();
                    assert!(times <= 1 || plain.contains(calc), "{calc:?} {template}");
                }
            }
        }
    }
}
