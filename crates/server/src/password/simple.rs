//! Passwords that are simple by themselves: runs, repeats, and what everybody knows of their owner
//! (security PW-6). All texts come folded.

/// Rows of keyboards, and of the alphabet and the digits.
const ROWS: [&str; 7] = [
    "abcdefghijklmnopqrstuvwxyz",
    "01234567890",
    "qwertyuiop",
    "asdfghjkl",
    "zxcvbnm",
    "qwertzuiop",
    "azertyuiop",
];

/// The fewest characters that make a run.
const RUN: usize = 3;

/// Whether the text is made of nothing but runs of neighbours, as in `abcd4321` and `aaabbbccc`.
pub fn is_runs(text: &str) -> bool {
    let chars: Vec<char> = text.chars().collect();
    let (mut ways, mut length) = (u16::MAX, 1);
    for pair in chars.windows(2) {
        let links = links(pair[0], pair[1]);
        if ways & links != 0 {
            (ways, length) = (ways & links, length + 1);
            continue;
        }
        if length < RUN {
            return false;
        }
        // A run may turn where it ends: abcba.
        (ways, length) = if links == 0 { (u16::MAX, 1) } else { (links, 2) };
    }
    length >= RUN
}

/// The ways in which one goes from `a` to `b`, a bit each: staying, and along a row in either
/// direction.
fn links(a: char, b: char) -> u16 {
    let along = |row: &&str| row.contains(&*String::from_iter([a, b]));
    let back = |row: &&str| row.contains(&*String::from_iter([b, a]));
    let mut ways = u16::from(a == b);
    for (number, row) in ROWS.iter().enumerate() {
        ways |= u16::from(along(row)) << (1 + 2 * number);
        ways |= u16::from(back(row)) << (2 + 2 * number);
    }
    ways
}

/// What the text says at least twice over, and nothing beside: `horse` of `horsehorse`.
pub fn repeated(text: &str) -> Option<&str> {
    let starts = text.char_indices().map(|it| it.0).skip(1);
    let mut halves = starts.take_while(|it| it * 2 <= text.len());
    // A text that goes on as it began, from here on, is its beginning over and over.
    let bytes = text.as_bytes();
    halves.find(|it| bytes[*it..] == bytes[..text.len() - it]).map(|it| &text[..it])
}

/// Whether the password is `known`, or a word of it, with at most digits and signs added, or
/// spelt backwards.
pub fn is_like(password: &str, known: &str) -> bool {
    let typed = letters(password);
    let core = typed.trim_matches(|it: char| it.is_numeric());
    let backwards: String = core.chars().rev().collect();
    let words = known.split(|it: char| !it.is_alphanumeric());
    let parts = known.split('@').map(letters).chain([letters(known)]);
    words.map(str::to_owned).chain(parts).any(|word| {
        let stem = word.trim_matches(|it: char| it.is_numeric());
        let counts = |it: &str| it.chars().count() >= RUN;
        counts(&word) && (typed == word || core == word)
            || counts(stem) && (core == stem || backwards == stem)
    })
}

fn letters(text: &str) -> String {
    text.chars().filter(|it| it.is_alphanumeric()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_told_from_words() {
        for (text, expected) in [
            ("abcdefgh", true),
            ("87654321", true),
            ("78901234", true),
            ("aaaaaaaa", true),
            ("aaa111bbb", true),
            ("abcd4321", true),
            ("abcdcba", true),
            ("qwertyui", true),
            ("lkjhgfdsa", true),
            ("qwer1234", true),
            ("qwertzui", true),
            ("abab", false),
            ("correct", false),
            ("abcdefgz", false),
            ("horse123", false),
            ("", false),
            ("a", false),
            ("ab", false),
        ] {
            assert_eq!(is_runs(text), expected, "{text}");
        }
    }

    #[test]
    fn a_repeat_is_told_with_what_it_repeats() {
        for (text, unit) in [
            ("abababab", Some("ab")),
            ("horsehorse", Some("horse")),
            ("aaa", Some("a")),
            ("äöäöä", Some("äö")),
            ("horsehorses", None),
            (" crème brûlée ", None),
            ("abca", None),
            ("a", None),
            ("", None),
        ] {
            assert_eq!(repeated(text), unit, "{text}");
        }
    }

    #[test]
    fn what_is_known_of_the_owner_is_found_in_disguise() {
        for (password, known, expected) in [
            ("ann@example.com", "ann@example.com", true),
            ("example1", "ann@example.com", true),
            ("@example.com", "ann@example.com", true),
            ("ann.lee!", "ann lee", true),
            ("annlee1990", "ann lee", true),
            ("1990-lee", "ann lee", true),
            ("eel99999", "ann lee", true),
            ("ann2024!", "ann1990", true),
            ("+491234567", "491234567", true),
            ("ann likes horses", "ann lee", false),
            ("hannover", "ann", false),
            ("12345678", "al", false),
            ("12345678", "9", false),
            ("12345678", "", false),
            ("!!!!!!!!", "", false),
        ] {
            assert_eq!(is_like(password, known), expected, "{password} {known}");
        }
    }
}
