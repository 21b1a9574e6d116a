//! Owners' expressions for values: Java syntax in, a linear-time engine inside.
//!
//! Wire: users-api 5.5. An expression is checked when it is saved, and what the engine cannot take
//! is refused with the reason (security V-7; ASVS 5.0, 1.3.12). `\d`, `\w` and `\s` are ASCII, as in
//! Java: digits of other scripts are no digits of a card number.

use regex::{Regex, RegexBuilder};
use regex_syntax::hir::{Hir, HirKind};

/// The longest expression, in characters (data-api 1.2).
pub const LONGEST: usize = 2000;
/// The most memory that a compiled expression takes, in bytes.
const MOST_COMPILED: usize = 1 << 18;
/// The memory in which states of it are kept, in bytes.
const DFA: usize = 1 << 20;
/// The most that an expression may cost with the longest value: places times characters. The engine
/// has each of its places in hand at each character at the worst, so this is some 50 ms.
const MOST_WORK: u64 = 1 << 24;
/// How deep groups may stand in each other.
const DEEPEST: u32 = 50;

/// Compiles `pattern` so that it matches whole values only. The error is the reason, for whoever
/// wrote the expression.
pub fn compile(pattern: &str) -> Result<Regex, String> {
    if pattern.chars().count() > LONGEST {
        return Err(format!("it is longer than {LONGEST} characters"));
    }
    let ours = from_java(pattern)?;
    // Alone first: what is whole by itself cannot break out of the group around it.
    build(&ours)?;
    // A comment at the end of a verbose expression reaches to the end of its line.
    build(&format!(r"\A(?:{ours})\z")).or_else(|_| build(&format!("\\A(?:{ours}\n)\\z")))
}

/// How much of an expression each character of a value may meet at the worst: the places in it that a
/// character can stand for, with all repetitions written out.
pub fn weight(pattern: &str) -> u64 {
    let Ok(ours) = from_java(pattern) else { return 0 };
    let parsed = regex_syntax::ParserBuilder::new().nest_limit(DEEPEST).build().parse(&ours);
    parsed.map_or(0, |it| places(&it))
}

fn places(part: &Hir) -> u64 {
    match part.kind() {
        HirKind::Empty | HirKind::Look(_) => 0,
        HirKind::Literal(it) => it.0.len() as u64,
        HirKind::Class(_) => 1,
        HirKind::Repetition(it) => {
            let times = it.max.unwrap_or(it.min.saturating_add(1)).max(1);
            places(&it.sub).saturating_mul(times.into())
        }
        HirKind::Capture(it) => places(&it.sub),
        HirKind::Concat(all) | HirKind::Alternation(all) => {
            all.iter().map(places).fold(0, u64::saturating_add)
        }
    }
}

/// Refuses an expression that would take too long with the longest text of `size` characters.
pub fn is_quick(pattern: &str, size: u32) -> Result<(), String> {
    if weight(pattern).saturating_mul(size.into()) <= MOST_WORK {
        return Ok(());
    }
    Err(format!(
        "with a text of {size} characters it takes too long: repeat less, or let the texts be shorter"
    ))
}

fn build(pattern: &str) -> Result<Regex, String> {
    let mut builder = RegexBuilder::new(pattern);
    builder.size_limit(MOST_COMPILED).dfa_size_limit(DFA).nest_limit(DEEPEST);
    builder.build().map_err(|it| match it {
        regex::Error::CompiledTooBig(_) => {
            "it takes too much memory: repeat less, or shorter parts".to_owned()
        }
        other => {
            // The last line of a syntax error says what is wrong; those before draw it.
            let text = other.to_string();
            let last = text.lines().last().unwrap_or_default();
            last.trim().trim_start_matches("error: ").to_owned()
        }
    })
}

/// Classes of Java that are ASCII there and mean more in the engine: the letter, and its members.
const CLASSES: &[(char, &str)] = &[('d', "0-9"), ('w', "0-9A-Za-z_"), ('s', r" \t\n\x0B\f\r")];

/// `\p{…}` of Java that are ASCII there, and what the engine calls them.
const POSIX: &[(&str, &str)] = &[
    ("Lower", "lower"),
    ("Upper", "upper"),
    ("ASCII", "ascii"),
    ("Alpha", "alpha"),
    ("Digit", "digit"),
    ("Alnum", "alnum"),
    ("Punct", "punct"),
    ("Graph", "graph"),
    ("Print", "print"),
    ("Blank", "blank"),
    ("Cntrl", "cntrl"),
    ("XDigit", "xdigit"),
    ("Space", "space"),
];

/// Escapes of Java that the engine lacks or reads as something else, and why they are refused.
const LACKING: &[(&str, &str)] = &[
    ("123456789", "it refers back to a group (\\1), which takes time without bound"),
    ("k", "it refers back to a group (\\k<name>), which takes time without bound"),
    ("G", "it has \\G: a value is always matched whole"),
    ("Z", "it has \\Z; use \\z, or leave it out: a value is always matched whole"),
    ("R", "it has \\R; write \\r?\\n"),
    ("X", "it has \\X, which the engine does not know"),
    ("hH", "it has \\h; write [ \\t]"),
    ("vV", "it has \\v; write [\\n\\x0B\\f\\r]"),
    ("0", "it has an octal escape (\\0); write \\x and two digits"),
    ("c", "it has a control escape (\\c); write \\x and two digits"),
    ("N", "it has \\N; write the character, or \\u and four digits"),
];

/// The same expression in the engine's syntax. Refuses what would mean something else there.
fn from_java(pattern: &str) -> Result<String, String> {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut rest = pattern;
    // How deep in brackets, and whether a quantifier has just ended.
    let (mut depth, mut quantified) = (0_u32, false);
    while let Some(next) = rest.chars().next() {
        let after = &rest[next.len_utf8()..];
        let was_quantified = std::mem::take(&mut quantified);
        match next {
            '\\' => {
                rest = escape(after, &mut out)?;
                continue;
            }
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            '-' | '~' if depth > 0 && after.starts_with(next) => {
                return Err(format!("it has {next}{next} in a class; write \\{next}"));
            }
            '(' if depth == 0 && after.starts_with('?') => group(&after[1..])?,
            '+' if depth == 0 && was_quantified => {
                return Err("it has a possessive quantifier (such as *+); leave the + out".into());
            }
            '*' | '+' | '}' if depth == 0 => quantified = true,
            '?' if depth == 0 => quantified = !was_quantified,
            _ => {}
        }
        out.push(next);
        rest = after;
    }
    Ok(out)
}

/// Writes what a backslash begins; gives what is left after it.
fn escape<'a>(after: &'a str, out: &mut String) -> Result<&'a str, String> {
    let Some(letter) = after.chars().next() else {
        return Err("it ends with a backslash".into());
    };
    let rest = &after[letter.len_utf8()..];
    if let Some((_, why)) = LACKING.iter().find(|it| it.0.contains(letter)) {
        return Err((*why).to_owned());
    }
    if let Some((_, members)) = CLASSES.iter().find(|it| it.0 == letter.to_ascii_lowercase()) {
        let not = if letter.is_ascii_uppercase() { "^" } else { "" };
        out.extend(["[", not, members, "]"]);
        return Ok(rest);
    }
    match letter {
        'Q' => {
            let (literal, rest) = rest.split_once("\\E").unwrap_or((rest, ""));
            out.push_str(&regex::escape(literal));
            Ok(rest)
        }
        'E' => Err("it has \\E without \\Q".into()),
        'e' => {
            out.push_str(r"\x1B");
            Ok(rest)
        }
        'p' | 'P' => {
            let named = rest.strip_prefix('{').and_then(|it| it.split_once('}'));
            let posix = named.and_then(|(name, rest)| {
                let found = POSIX.iter().find(|it| it.0 == name)?;
                Some((found.1, rest))
            });
            let Some((name, rest)) = posix else { return Ok(in_braces(letter, rest, out)) };
            let not = if letter == 'P' { "^" } else { "" };
            out.extend(["[[:", not, name, ":]]"]);
            Ok(rest)
        }
        'x' | 'u' | 'U' => Ok(in_braces(letter, rest, out)),
        other => {
            out.push('\\');
            // Java takes a backslash before any sign; the engine before those that mean something.
            if !other.is_ascii_alphanumeric() && !takes_backslash(other) {
                out.pop();
            }
            out.push(other);
            Ok(rest)
        }
    }
}

/// Writes an escape with what stands in braces after it, so that the brace is no quantifier's.
fn in_braces<'a>(letter: char, rest: &'a str, out: &mut String) -> &'a str {
    let end = rest.strip_prefix('{').and_then(|it| it.find('}')).map_or(0, |it| it + 2);
    out.push('\\');
    out.push(letter);
    out.push_str(&rest[..end]);
    &rest[end..]
}

/// Signs that the engine takes a backslash before.
fn takes_backslash(sign: char) -> bool {
    sign.is_ascii() && !sign.is_ascii_alphanumeric() && !matches!(sign, '<' | '>')
}

/// Refuses groups that the engine lacks; `rest` follows the `(?`.
fn group(rest: &str) -> Result<(), String> {
    for (start, what) in [
        ("=", "looks ahead (?=…)"),
        ("!", "looks ahead (?!…)"),
        ("<=", "looks behind (?<=…)"),
        ("<!", "looks behind (?<!…)"),
    ] {
        if rest.starts_with(start) {
            return Err(format!(
                "it {what}, which takes time without bound. Say what a value may be instead"
            ));
        }
    }
    if rest.starts_with('>') {
        return Err("it has an atomic group (?>…); write (?:…)".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_expression_matches_whole_values_and_means_what_it_means_in_java() {
        for (pattern, value, expected) in [
            ("a|ab", "ab", true),
            ("a", "ab", false),
            ("^a$", "a", true),
            ("a$", "a\n", false),
            (r"^(\d{3}-?\d{2}-?\d{4}|XXX-XX-XXXX)$", "123-45-6789", true),
            (r"^(\d{3}-?\d{2}-?\d{4}|XXX-XX-XXXX)$", "XXX-XX-XXXX", true),
            (r"\d+", "١٢٣", false),
            (r"\w+", "Ann_1", true),
            (r"\w+", "é", false),
            (r"\W", "é", true),
            (r"[\d-]+", "1-2", true),
            (r"[^\s]+", "a b", false),
            (r"\Qa.b\E+", "a.bb", true),
            (r"\Qa.b", "a.b", true),
            (r"\p{Alpha}+", "abc", true),
            (r"\p{Alpha}+", "äbc", false),
            (r"\p{L}+", "äbc", true),
            (r"\P{Digit}", "a", true),
            (r"[\p{Upper}_]+", "A_B", true),
            (r"\@\<\-\_\ ", "@<-_ ", true),
            (r"(?i)ann", "ANN", true),
            (r"(?<year>\d{4})", "2024", true),
            ("(?x) a b # both", "ab", true),
            ("(?x) a b # both", "ab)", false),
            ("a+?b??", "aa", true),
            ("[a-z&&[^b]]", "b", false),
            ("[+*]+", "++*", true),
            ("", "", true),
            ("", "a", false),
            (r"\x{e9}+", "é", true),
            (r"\u00e9\p{L}+", "éé", true),
        ] {
            let compiled = compile(pattern).unwrap_or_else(|it| panic!("{pattern}: {it}"));
            assert_eq!(compiled.is_match(value), expected, "{pattern} {value:?}");
        }
    }

    #[test]
    fn what_the_engine_cannot_take_is_refused_with_the_reason() {
        for (pattern, reason) in [
            (r"(a)\1", "refers back"),
            (r"(?<x>a)\k<x>", "refers back"),
            ("(?=a)a", "looks ahead"),
            ("(?!a)b", "looks ahead"),
            ("(?<=a)b", "looks behind"),
            ("(?<!a)b", "looks behind"),
            ("(?>a)b", "atomic"),
            ("a*+", "possessive"),
            ("a++b", "possessive"),
            ("a?+", "possessive"),
            ("a{2}+", "possessive"),
            (r"a\Z", r"use \z"),
            (r"\Ga", r"\G"),
            (r"\h", r"\h"),
            (r"\012", "octal"),
            ("a\\", "backslash"),
            ("[a--b]", "class"),
            ("(a", "unclosed group"),
            ("a)|(b", "unopened group"),
            ("[a", "unclosed character class"),
            ("(?:(?:[a-z]{1000}){1000}){1000}", "memory"),
            (&"a".repeat(2001), "longer than"),
            (&format!("{}a{}", "(".repeat(200), ")".repeat(200)), "nest"),
            (r"\p{InGreek}", "not found"),
        ] {
            let refused = compile(pattern).map(|_| ()).unwrap_err();
            assert!(refused.contains(reason), "{pattern}: {refused}");
        }
    }

    /// Expressions that take a backtracking engine ages (V-7), and one that is as much work as any may
    /// be: a value that is ten times as long takes about ten times as long, not a hundred times.
    #[test]
    fn v_07_no_value_makes_an_expression_slow() {
        let heavy = "[ab]*a[ab]{700}";
        assert!(is_quick(heavy, 21_000).is_ok() && is_quick("[ab]*a[ab]{900}", 21_000).is_err());
        for pattern in ["(a+)+$", "(a|aa)+", "(.*a){20}", r"([a-zA-Z]+)*", r"^(\w+\s?)*$", heavy] {
            let compiled = compile(pattern).unwrap();
            let value = |length: usize| {
                // Neither the same letter again and again nor a period that the engine could learn.
                let mut seed = 1_u32;
                let letters = (0..length).map(|_| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    if pattern == heavy && seed >> 16 & 1 == 0 { 'b' } else { 'a' }
                });
                letters.chain(['!']).collect::<String>()
            };
            let quickest = |length: usize| {
                let value = value(length);
                let times = (0..5).map(|_| {
                    let began = std::time::Instant::now();
                    compiled.is_match(&value);
                    began.elapsed()
                });
                times.min().unwrap()
            };
            let (short, long) = (quickest(2_000), quickest(20_000));
            let least = std::time::Duration::from_millis(20);
            assert!(long < short.max(least) * 50, "{pattern}: {short:?}, {long:?}");
        }
    }

    #[test]
    fn the_work_of_an_expression_is_counted_with_its_repetitions() {
        for (pattern, expected) in [
            ("", 0),
            ("abc", 3),
            ("[a-z]+", 2),
            (r"\p{L}{1,50}", 50),
            ("(?:ab|c){10}", 30),
            ("(?:a{100}){100}", 10_000),
            (r"^a$", 1),
        ] {
            assert_eq!(weight(pattern), expected, "{pattern}");
        }
        assert!(is_quick("[ab]*a[ab]{10000}", 500).is_ok());
        assert!(is_quick("[ab]*a[ab]{10000}", 21_000).is_err());
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(pattern in "\\PC{0,40}", value in "\\PC{0,20}") {
            if let Ok(compiled) = compile(&pattern) {
                compiled.is_match(&value);
            }
        }

        #[test]
        fn no_expression_makes_it_panic(
            pattern in r"([ab.^$|*+?{}\[\]\-&~#0-9]|\\[a-zA-Z0-9.]|\(\?|\(|\)|\\p\{Alpha\}|\(\?x\)){0,30}",
            value in "[ab1-]{0,20}",
        ) {
            if let Ok(compiled) = compile(&pattern) {
                compiled.is_match(&value);
            }
        }

        #[test]
        fn a_literal_matches_itself_alone(literal in "\\PC{0,30}", other in "\\PC{0,30}") {
            let compiled = compile(&regex::escape(&literal).replace(['<', '>'], ".")).ok();
            if let Some(compiled) = compiled.filter(|_| !literal.contains(['<', '>'])) {
                prop_assert!(compiled.is_match(&literal));
                prop_assert_eq!(compiled.is_match(&other), literal == other);
            }
        }
    }
}
