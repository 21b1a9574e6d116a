//! Passwords that everybody tries first (security PW-6).
//!
//! The list in the binary is front-coded: sorted, each entry is how many bytes it shares with the
//! one before, and the rest. It is searched as it lies: a look-up reads the first entry of a dozen
//! blocks and one block, some microseconds beside the tens of milliseconds of the hash.
//! `cargo run -p server --example blocklist` makes it; `common.txt` beside it says of what.

use std::borrow::Cow;
use std::path::Path;
use std::sync::LazyLock;

use icu_normalizer::ComposingNormalizerBorrowed;

/// Every door refuses shorter ones before the list is asked, so it holds none.
pub const LEAST: usize = 8;

/// Entries that are read one after the other at a look-up.
const BLOCK: usize = 32;

static COMMON: LazyLock<Coded> =
    LazyLock::new(|| Coded::new(Cow::Borrowed(include_bytes!("common.bin"))));

/// The list in the binary, and the operator's own.
#[derive(Default)]
pub struct Blocklist {
    own: Option<Coded>,
}

impl Blocklist {
    /// With the entries of a file as well, one a line. The error is one line.
    pub fn with_file(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|it| format!("password-blocklist: cannot read {shown}: {it}"))?;
        let coded = encode(text.lines());
        if coded.is_empty() {
            let nothing = format!("password-blocklist: {shown} has no password of {LEAST} or more");
            return Err(format!("{nothing} characters. Write one a line"));
        }
        Ok(Self { own: Some(Coded::new(Cow::Owned(coded))) })
    }

    /// Whether `text` is on a list, whatever its case.
    pub fn contains(&self, text: &str) -> bool {
        let wanted = fold(text);
        COMMON.contains(&wanted) || self.own.as_ref().is_some_and(|it| it.contains(&wanted))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        COMMON.count + self.own.as_ref().map_or(0, |it| it.count)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The form in which passwords are compared: without case, and without the widths and ligatures
/// that look alike.
pub fn fold(text: &str) -> String {
    ComposingNormalizerBorrowed::new_nfkc().normalize(text).to_lowercase()
}

/// A front-coded list, and where its blocks begin.
struct Coded {
    bytes: Cow<'static, [u8]>,
    heads: Vec<usize>,
    count: usize,
}

impl Coded {
    fn new(bytes: Cow<'static, [u8]>) -> Self {
        let (mut heads, mut count) = (Vec::new(), 0);
        let mut entries = Entries { bytes: &bytes, at: 0, entry: Vec::new() };
        loop {
            let at = entries.at;
            if entries.next().is_none() {
                break;
            }
            if count % BLOCK == 0 {
                heads.push(at);
            }
            count += 1;
        }
        Self { bytes, heads, count }
    }

    fn contains(&self, wanted: &str) -> bool {
        let from = |at: usize| Entries { bytes: &self.bytes, at, entry: Vec::new() };
        let wanted = wanted.as_bytes();
        let block =
            self.heads.partition_point(|it| from(*it).next().is_some_and(|it| it <= wanted));
        let Some(head) = block.checked_sub(1).and_then(|it| self.heads.get(it)) else {
            return false;
        };
        let mut entries = from(*head);
        (0..BLOCK).map_while(|_| Some(entries.next()? == wanted)).any(|it| it)
    }
}

/// Reads entries one after the other. What is broken ends the list.
struct Entries<'a> {
    bytes: &'a [u8],
    at: usize,
    entry: Vec<u8>,
}

impl Entries<'_> {
    fn next(&mut self) -> Option<&[u8]> {
        let first = *self.bytes.get(self.at)?;
        self.at += 1;
        let mut length = usize::from(first & 15);
        if length == 0 {
            length = usize::from(*self.bytes.get(self.at)?);
            self.at += 1;
        }
        let rest = self.bytes.get(self.at..self.at + length)?;
        self.at += length;
        self.entry.truncate(usize::from(first >> 4));
        self.entry.extend_from_slice(rest);
        Some(&self.entry)
    }
}

/// The front-coded list of these passwords: without those that are too short to be taken anywhere,
/// and too long to be guessed.
pub fn encode<'a>(passwords: impl Iterator<Item = &'a str>) -> Vec<u8> {
    let fits = |it: &String| it.chars().count() >= LEAST && it.len() < 256;
    let mut sorted: Vec<String> = passwords.map(|it| fold(it.trim_end())).filter(fits).collect();
    sorted.sort_unstable();
    sorted.dedup();
    let (mut coded, mut before) = (Vec::new(), "");
    for (number, entry) in sorted.iter().enumerate() {
        // The first of a block stands alone. Shared bytes, of which there are 15 at most, may end
        // within a character: what is put together again is whole.
        let same = before.bytes().zip(entry.bytes()).take(15).take_while(|it| it.0 == it.1).count();
        let shared = if number % BLOCK == 0 { 0 } else { same };
        let rest = &entry.as_bytes()[shared..];
        let length = u8::try_from(rest.len()).unwrap_or(u8::MAX);
        let high = u8::try_from(shared << 4).unwrap_or(0);
        if length < 16 {
            coded.push(high | length);
        } else {
            coded.extend([high, length]);
        }
        coded.extend_from_slice(rest);
        before = entry;
    }
    coded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_in_the_binary_is_whole_and_sorted() {
        let mut entries = Entries { bytes: &COMMON.bytes, at: 0, entry: Vec::new() };
        let (mut before, mut count) = (String::new(), 0);
        while let Some(entry) = entries.next() {
            let entry = String::from_utf8(entry.to_vec()).unwrap();
            assert!(before < entry && entry == fold(&entry) && entry.len() >= LEAST, "{entry}");
            (before, count) = (entry, count + 1);
        }
        assert_eq!((entries.at, count), (COMMON.bytes.len(), COMMON.count));
        assert!(count >= 100_000, "{count} entries");
    }

    #[test]
    fn every_entry_is_found_and_what_is_beside_it_is_not() {
        let words: Vec<String> = (0..1000).map(|it| format!("password{}", it * 7)).collect();
        let long = "x".repeat(200);
        let others = ["Ünïcode wörds", "short", &long, "tschüß, bis morgen"];
        let all = words.iter().map(String::as_str).chain(others);
        let coded = Coded::new(Cow::Owned(encode(all)));
        assert_eq!(coded.count, 1003);
        for word in words.iter().map(String::as_str).chain(others) {
            let there = coded.contains(&fold(word));
            assert_eq!(there, word != "short", "{word}");
            assert!(!coded.contains(&format!("{}!", fold(word))), "{word}");
        }
        for absent in ["", "a", "password1", "zzzzzzzzz", "password7000"] {
            assert!(!coded.contains(absent), "{absent}");
        }
        assert!(!Coded::new(Cow::Borrowed(b"")).contains("password"));
    }

    #[test]
    fn case_and_width_make_no_difference() {
        let list = Blocklist::default();
        for common in ["password1", "PassWord1", "ｐａｓｓｗｏｒｄ１", "iloveyou", "QWERTYUIOP"]
        {
            assert!(list.contains(common), "{common}");
        }
        // A common word does not become rare by what everybody writes behind it.
        for common in ["Drogba12345", "dragon@123", "123winner123", "qwerty0721"] {
            assert!(list.contains(common), "{common}");
        }
        for rare in ["correct horse", "four words in a row", "password1 ", "swordfish and chips"] {
            assert!(!list.contains(rare), "{rare}");
        }
    }
}
