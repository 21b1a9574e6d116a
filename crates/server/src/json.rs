//! The one reader of JSON that comes from outside (RFC 8259, read strictly).
//!
//! Two programs that read one text differently are how checks are evaded, so everything that is
//! ambiguous is refused: duplicate keys, numbers that do not fit, texts that are not Unicode.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// How deep lists and objects may be nested in each other.
pub const MOST_DEPTH: usize = 64;
/// How many keys all objects of a text have together; where the text is a list (a bulk call), the
/// objects of each of its elements.
pub const MOST_KEYS: usize = 10_000;
/// How many values a text has in all. A value takes far more memory than its two bytes of text.
pub const MOST_VALUES: usize = 500_000;
/// The largest whole number whose neighbours are whole numbers in every client, 2^53, and how far
/// below zero they go.
pub const MOST_WHOLE: u64 = 1 << 53;

/// Why a text was not read, and where: at or shortly after the place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the JSON text is wrong at line {line}, column {column}: {problem}")]
pub struct Fault {
    /// Line, from 1.
    pub line: usize,
    /// Column in bytes, from 1; 0 before the first byte of a line.
    pub column: usize,
    /// What is wrong there.
    pub problem: Problem,
}

/// What can be wrong with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The bytes are not UTF-8.
    #[error("it is not UTF-8. Send UTF-8, without another encoding")]
    NotUtf8,
    /// It starts with a byte order mark.
    #[error("it starts with a byte order mark. Leave the mark out")]
    ByteOrderMark,
    /// It is not JSON.
    #[error("it is not JSON. Check quotes, commas and brackets")]
    Syntax,
    /// It ends in the middle of something.
    #[error("it ends too early. Close every quote and bracket")]
    EndsEarly,
    /// Something follows after the value.
    #[error("something follows after the value. Send one value")]
    Trailing,
    /// An object has a key twice.
    #[error("an object has this key twice. Give each key once")]
    DuplicateKey,
    /// Lists and objects are nested deeper than [`MOST_DEPTH`].
    #[error("it is nested deeper than {MOST_DEPTH} levels. Make it flatter")]
    TooDeep,
    /// It has more keys than [`MOST_KEYS`].
    #[error("it has more than {MOST_KEYS} keys. Send it in parts")]
    TooManyKeys,
    /// It has more values than [`MOST_VALUES`].
    #[error("it has more than {MOST_VALUES} values. Send it in parts")]
    TooManyValues,
    /// A text or key contains NUL, which the databases cannot keep.
    #[error("a text contains the character NUL. Remove it")]
    Nul,
    /// A text contains half of a surrogate pair, which is no character.
    #[error("a text contains half of a surrogate pair. Send whole characters")]
    LoneSurrogate,
    /// A whole number beyond [`MOST_WHOLE`], or any number beyond what a double holds.
    #[error(
        "a number does not fit. Use whole numbers from -9007199254740992 to 9007199254740992, \
         or send it as text"
    )]
    NumberTooLarge,
}

/// Reads one JSON value. Fails with the first [`Fault`].
///
/// Numbers that are written without fraction and exponent come out as integers, exactly; all
/// others as doubles. Minus zero is zero. An empty text is a fault like any other; a caller that
/// allows an empty body looks before.
pub fn read(bytes: &[u8]) -> Result<Value, Fault> {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => return Err(fault_at(bytes, error.valid_up_to(), Problem::NotUtf8)),
    };
    if text.starts_with('\u{feff}') {
        return Err(Fault { line: 1, column: 1, problem: Problem::ByteOrderMark });
    }
    let watch = Watch::default();
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Node { watch: &watch, depth: 0 }
        .deserialize(&mut deserializer)
        .map_err(|it| explain(&it, watch.problem.get()))?;
    deserializer.end().map_err(|it| explain(&it, Some(Problem::Trailing)))?;

    // The deserializer hands on whole numbers beyond 64 bits as doubles, rounded.
    if watch.huge.get()
        && let Some(position) = long_integer(bytes)
    {
        return Err(fault_at(bytes, position, Problem::NumberTooLarge));
    }
    Ok(value)
}

/// What is counted over the whole text, and what was found wrong with it.
#[derive(Default)]
struct Watch {
    keys: Cell<usize>,
    values: Cell<usize>,
    huge: Cell<bool>,
    problem: Cell<Option<Problem>>,
}

impl Watch {
    /// An error that [`explain`] turns into `problem`: the deserializer adds line and column.
    fn refuse<E: serde::de::Error>(&self, problem: Problem) -> E {
        self.problem.set(Some(problem));
        E::custom(problem)
    }

    fn text<E: serde::de::Error>(&self, text: &str) -> Result<(), E> {
        if text.contains('\0') { Err(self.refuse(Problem::Nul)) } else { Ok(()) }
    }
}

/// A value that is about to be read inside `depth` lists and objects.
#[derive(Clone, Copy)]
struct Node<'a> {
    watch: &'a Watch,
    depth: usize,
}

impl<'a> Node<'a> {
    /// The values inside of this one.
    fn inside<E: serde::de::Error>(self) -> Result<Node<'a>, E> {
        if self.depth == MOST_DEPTH {
            return Err(self.watch.refuse(Problem::TooDeep));
        }
        Ok(Node { depth: self.depth + 1, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Node<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        let values = self.watch.values.get() + 1;
        self.watch.values.set(values);
        if values > MOST_VALUES {
            return Err(self.watch.refuse(Problem::TooManyValues));
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Node<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<Value, E> {
        if value.unsigned_abs() > MOST_WHOLE {
            return Err(self.watch.refuse(Problem::NumberTooLarge));
        }
        Ok(Value::from(value))
    }

    fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<Value, E> {
        if value > MOST_WHOLE {
            return Err(self.watch.refuse(Problem::NumberTooLarge));
        }
        Ok(Value::from(value))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        if value == 0.0 {
            // Minus zero arrives as a double even when it is written `-0`.
            return Ok(Value::from(0));
        }
        if value.abs() >= 9.0e18 {
            self.watch.huge.set(true);
        }
        let number = Number::from_f64(value);
        number.map(Value::Number).ok_or_else(|| self.watch.refuse(Problem::NumberTooLarge))
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Value, E> {
        self.watch.text(text)?;
        Ok(Value::from(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut values = Vec::new();
        while let Some(value) = list.next_element_seed(inside)? {
            values.push(value);
            if self.depth == 0 {
                self.watch.keys.set(0);
            }
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Value, A::Error> {
        let inside = self.inside()?;
        let mut members = Map::new();
        while let Some(key) = object.next_key::<String>()? {
            self.watch.text(&key)?;
            if members.contains_key(&key) {
                return Err(self.watch.refuse(Problem::DuplicateKey));
            }
            let keys = self.watch.keys.get() + 1;
            self.watch.keys.set(keys);
            if keys > MOST_KEYS {
                return Err(self.watch.refuse(Problem::TooManyKeys));
            }
            members.insert(key, object.next_value_seed(inside)?);
        }
        Ok(Value::Object(members))
    }
}

/// Says in our words what the deserializer found, unless `found` knows it already.
fn explain(error: &serde_json::Error, found: Option<Problem>) -> Fault {
    let problem = found.unwrap_or_else(|| {
        // The deserializer's own kinds are not public, its words are; the tests hold them.
        let words = error.to_string();
        let is = |start: &str| words.starts_with(start);
        if is("number out of range") {
            Problem::NumberTooLarge
        } else if is("lone leading surrogate") || is("unexpected end of hex escape") {
            Problem::LoneSurrogate
        } else if error.is_eof() {
            Problem::EndsEarly
        } else {
            Problem::Syntax
        }
    });
    Fault { line: error.line(), column: error.column(), problem }
}

/// The place of the first whole number with more digits than 64 bits have, in a text that was
/// accepted as JSON: outside of a text, digits are numbers.
fn long_integer(bytes: &[u8]) -> Option<usize> {
    let mut position = 0;
    while let Some(byte) = bytes.get(position) {
        let rest = &bytes[position..];
        position += match byte {
            b'"' => text_length(rest),
            b'-' | b'0'..=b'9' => {
                let part = |it: &u8| matches!(it, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9');
                let number = &rest[..rest.iter().position(|it| !part(it)).unwrap_or(rest.len())];
                let whole = number.iter().all(|it| matches!(it, b'-' | b'0'..=b'9'));
                if whole && number.len() >= 19 {
                    return Some(position);
                }
                number.len()
            }
            _ => 1,
        };
    }
    None
}

/// The length of the text that `bytes` start with, with both quotes.
fn text_length(bytes: &[u8]) -> usize {
    let mut escaped = true; // the opening quote does not close
    for (position, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return position + 1,
            _ => {}
        }
    }
    bytes.len()
}

fn fault_at(bytes: &[u8], position: usize, problem: Problem) -> Fault {
    let before = &bytes[..position];
    let line_start = before.iter().rposition(|it| *it == b'\n').map_or(0, |it| it + 1);
    let line = before.split(|it| *it == b'\n').count();
    Fault { line, column: position - line_start + 1, problem }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn problem(text: impl AsRef<[u8]>) -> Option<Problem> {
        read(text.as_ref()).err().map(|it| it.problem)
    }

    #[test]
    fn ordinary_json_is_read_as_it_is_written() {
        let corpus = [
            (" null ", json!(null)),
            ("true", json!(true)),
            ("\"\"", json!("")),
            ("[]", json!([])),
            ("{}", json!({})),
            ("\t\r\n[1 , 2]\n", json!([1, 2])),
            (r#"{"b":1,"a":{"b":[{}]}}"#, json!({"b": 1, "a": {"b": [{}]}})),
            (r#"{"":1," ":2,"A":3,"a":4}"#, json!({"": 1, " ": 2, "A": 3, "a": 4})),
            (r#""\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00""#, json!("\"\\/\u{8}\u{c}\n\r\té😀")),
            ("\"é😀\u{7f}\u{2028}\u{feff}\"", json!("é😀\u{7f}\u{2028}\u{feff}")),
            ("0", json!(0)),
            ("-1", json!(-1)),
            ("9007199254740992", json!(9_007_199_254_740_992_u64)),
            ("-9007199254740992", json!(-9_007_199_254_740_992_i64)),
            ("0.1", json!(0.1)),
            ("1.0", json!(1.0)),
            ("1e3", json!(1000.0)),
            ("-2.5E-3", json!(-0.0025)),
            ("1e300", json!(1e300)),
            ("1E+20", json!(1e20)),
            ("123456789012345678901234567890.5", json!(123_456_789_012_345_678_901_234_567_890.5)),
            ("5e-324", json!(5e-324)),
        ];
        for (text, value) in corpus {
            assert_eq!(read(text.as_bytes()).as_ref(), Ok(&value), "{text}");
        }
        let object = read(br#"{"z":1,"y":2,"x":3}"#).unwrap();
        assert_eq!(object.to_string(), r#"{"z":1,"y":2,"x":3}"#, "keys keep their order");
    }

    #[test]
    fn minus_zero_is_zero_however_it_is_written() {
        for text in ["-0", "-0.0", "-0e0", "0.0", "1e-400", "-1e-400"] {
            assert_eq!(read(text.as_bytes()).unwrap(), json!(0), "{text}");
        }
    }

    #[test]
    fn what_is_ambiguous_broken_or_too_much_is_refused() {
        use Problem::*;
        let corpus: &[(&[u8], Problem)] = &[
            (b"", EndsEarly),
            (b" \n", EndsEarly),
            (b"[1,", EndsEarly),
            (b"\"abc", EndsEarly),
            (b"{\"a\"", EndsEarly),
            (b"tru", EndsEarly),
            (b"-", EndsEarly),
            (b"1.", EndsEarly),
            (b"[1,]", Syntax),
            (b"[,1]", Syntax),
            (b"[1 2]", Syntax),
            (b"{\"a\":1,}", Syntax),
            (b"{a:1}", Syntax),
            (b"{'a':1}", Syntax),
            (b"{1:1}", Syntax),
            (b"{null:1}", Syntax),
            (b"{\"a\" 1}", Syntax),
            (b"}", Syntax),
            (b"[}", Syntax),
            (b"True", Syntax),
            (b"NaN", Syntax),
            (b"Infinity", Syntax),
            (b"-Infinity", Syntax),
            (b"undefined", Syntax),
            (b"01", Syntax),
            (b"+1", Syntax),
            (b".5", Syntax),
            (b"1.e3", Syntax),
            (b"0x10", Trailing),
            (b"-01", Syntax),
            (b"// no\n1", Syntax),
            (b"/* no */1", Syntax),
            (b"\"\t\"", Syntax),
            (b"\"\n\"", Syntax),
            (b"\"\\x41\"", Syntax),
            (b"\"\\u12zz\"", Syntax),
            (b"\"\\u{41}\"", Syntax),
            (b"\"\0\"", Syntax),
            (b"\0", Syntax),
            (b"1\0", Trailing),
            (b"\xc2\xa01", Syntax),
            (b"1 1", Trailing),
            (b"{}{}", Trailing),
            (b"[]]", Trailing),
            (b"null,", Trailing),
            (b"1 // no", Trailing),
            (b"\xef\xbb\xbf1", ByteOrderMark),
            (b"\xff\xfe1\0", NotUtf8),
            (b"\"\xff\"", NotUtf8),
            (b"\"\xc0\x80\"", NotUtf8),
            (b"\"\xed\xa0\x80\"", NotUtf8),
            (b"\"\xf4\x90\x80\x80\"", NotUtf8),
            (b"\"\xe9\"", NotUtf8),
            (b"{\"\xff\":1}", NotUtf8),
            (br#"{"a":1,"a":1}"#, DuplicateKey),
            (br#"{"a":1,"b":2,"\u0061":3}"#, DuplicateKey),
            (br#"[{"x":{"a":{"b":1,"b":2}}}]"#, DuplicateKey),
            (br#"{"":1,"":1}"#, DuplicateKey),
            (br#"{"__proto__":1,"__proto__":2}"#, DuplicateKey),
            (br#""\u0000""#, Nul),
            (br#"["a\u0000b"]"#, Nul),
            (br#"{"a\u0000":1}"#, Nul),
            (br#""\ud800""#, LoneSurrogate),
            (br#""\ud800x""#, LoneSurrogate),
            (br#""\udc00""#, LoneSurrogate),
            (br#""\ud800\ud800""#, LoneSurrogate),
            (br#""\ud800\u0041""#, LoneSurrogate),
            (br#"{"\udfff":1}"#, LoneSurrogate),
            (b"9007199254740993", NumberTooLarge),
            (b"-9007199254740993", NumberTooLarge),
            (b"[9223372036854775807]", NumberTooLarge),
            (b"18446744073709551615", NumberTooLarge),
            (b"18446744073709551616", NumberTooLarge),
            (b"-9223372036854775809", NumberTooLarge),
            (b"100000000000000000000", NumberTooLarge),
            (b"[1e20,\"1\\\"2\",100000000000000000000]", NumberTooLarge),
            (b"1e309", NumberTooLarge),
            (b"-1e309", NumberTooLarge),
            (b"1e99999999999999999999", NumberTooLarge),
        ];
        for (bytes, expected) in corpus {
            assert_eq!(problem(bytes), Some(*expected), "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn digits_inside_of_texts_are_no_numbers() {
        let text = r#"[1e20,"\\","\"100000000000000000000","x\\\"100000000000000000000",{"100000000000000000000":1}]"#;
        assert!(read(text.as_bytes()).is_ok());
        let long_fraction = "[1e20,0.00000000000000000000000000001]";
        assert!(read(long_fraction.as_bytes()).is_ok());
    }

    #[test]
    fn nesting_ends_at_64_levels() {
        let lists = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert_eq!(problem(lists(64)), None);
        assert_eq!(problem(lists(65)), Some(Problem::TooDeep));
        let objects = |depth: usize| "{\"a\":".repeat(depth) + "1" + &"}".repeat(depth);
        assert_eq!(problem(objects(64)), None);
        assert_eq!(problem(objects(65)), Some(Problem::TooDeep));
        assert_eq!(problem("[{\"a\":".repeat(1_000_000)), Some(Problem::TooDeep));
        // Depth is not length: many neighbours are fine.
        assert_eq!(problem(format!("[{}[]]", "[[]],".repeat(10_000))), None);
    }

    #[test]
    fn keys_are_counted_over_the_whole_text_but_in_a_list_for_each_element() {
        let members = |from: usize, to: usize| {
            let members: Vec<_> = (from..to).map(|it| format!("\"k{it}\":0")).collect();
            members.join(",")
        };
        assert_eq!(problem(format!("{{{}}}", members(0, 10_000))), None);
        assert_eq!(problem(format!("{{{}}}", members(0, 10_001))), Some(Problem::TooManyKeys));
        let nested =
            |keys| format!("{{\"a\":{{{}}},\"b\":[{{{}}}]}}", members(0, 5_000), members(0, keys));
        assert_eq!(problem(nested(4_998)), None);
        assert_eq!(problem(nested(4_999)), Some(Problem::TooManyKeys));
        let bulk = |keys| format!("[{{{0}}},{{{0}}},{{{0}}}]", members(0, keys));
        assert_eq!(problem(bulk(10_000)), None);
        assert_eq!(problem(bulk(10_001)), Some(Problem::TooManyKeys));
    }

    #[test]
    fn a_text_of_nothing_but_small_values_is_bounded() {
        let list = |values: usize| format!("[{}0]", "0,".repeat(values - 2));
        assert_eq!(problem(list(MOST_VALUES)), None);
        assert_eq!(problem(list(MOST_VALUES + 1)), Some(Problem::TooManyValues));
    }

    #[test]
    fn a_fault_says_where_and_what_to_do() {
        let fault = read(b"{\"a\": 1,\n \"a\": 2}").unwrap_err();
        assert_eq!(
            fault.to_string(),
            "the JSON text is wrong at line 2, column 4: an object has this key twice. \
             Give each key once"
        );
        let fault = read(b"[1,\n\xff]").unwrap_err();
        assert_eq!((fault.line, fault.column), (2, 1));
        let fault = read(b"[\n1e20,\n  100000000000000000000]").unwrap_err();
        assert_eq!((fault.line, fault.column), (3, 3));
    }

    /// Values that the reader accepts, with all that is odd about texts and numbers.
    fn values() -> impl Strategy<Value = Value> {
        let whole = -(1_i64 << 53)..=(1_i64 << 53);
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            whole.prop_map(Value::from),
            any::<f64>().prop_filter_map("infinite", |it| {
                Number::from_f64(it).filter(|_| it != 0.0).map(Value::Number)
            }),
            "[^\0]*".prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 60, 8, |inner| {
            let keys = "[^\0]{0,3}";
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                proptest::collection::hash_map(keys, inner, 0..8)
                    .prop_map(|it| Value::Object(it.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_the_same(value in values()) {
            let text = value.to_string();
            prop_assert_eq!(read(text.as_bytes()), Ok(value), "{}", text);
        }

        #[test]
        fn bytes_never_panic_and_what_is_accepted_comes_back(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Ok(value) = read(&bytes) {
                prop_assert_eq!(read(value.to_string().as_bytes()), Ok(value));
            }
        }

        #[test]
        fn almost_json_never_panics_and_what_is_accepted_comes_back(
            text in r#"([\[\]{},: ]|"(\\u[0-9a-fA-F]{4}|\\["\\nt]|[a-c0-9é])*"|-?[0-9]{1,22}(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?|true|null){0,30}"#
        ) {
            if let Ok(value) = read(text.as_bytes()) {
                prop_assert_eq!(read(value.to_string().as_bytes()), Ok(value));
            }
        }

        #[test]
        fn we_are_never_laxer_than_the_library(bytes in proptest::collection::vec(prop_oneof![Just(b'"'), Just(b'\\'), Just(b'['), Just(b']'), Just(b'{'), Just(b'}'), Just(b':'), Just(b','), Just(b'1'), any::<u8>()], 0..30)) {
            if read(&bytes).is_ok() {
                prop_assert!(serde_json::from_slice::<Value>(&bytes).is_ok());
            }
        }
    }
}
