//! Makes the list of common passwords, and measures how long a look-up takes.
//!
//! `cargo run -p server --example blocklist -- [MOST LEAKED] FILE… > crates/server/src/password/common.bin`
//! takes files with one password a line, or with one JSON array of texts, the most common first.
//! With the first two, it fills up to `MOST` entries out of the file `LEAKED`, one a line in any
//! order: with those that are one of the others with something before or behind it.
//! With `look-up`, and a file of an operator's or none, it looks up what is there and what is not.

use std::collections::{BTreeSet, HashMap};
use std::io::Write as _;
use std::time::Instant;

use server::password::blocklist::{Blocklist, LEAST, encode, fold};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let most = arguments.first().and_then(|it| it.parse::<usize>().ok());
    let (leaked, files) = match (most, arguments.as_slice()) {
        (_, []) => return Err("name the files, or look-up".into()),
        (_, [word, own @ ..]) if word == "look-up" => return speed(own.first()),
        (Some(most), [_, leaked, files @ ..]) => (Some((most, leaked)), files),
        (_, files) => (None, files),
    };
    let mut ranks: HashMap<String, usize> = HashMap::new();
    for file in files {
        let text = std::fs::read_to_string(file)?;
        let list = serde_json::from_str::<Vec<String>>(&text);
        let list = list.unwrap_or_else(|_| text.lines().map(str::to_owned).collect());
        for (rank, word) in list.iter().enumerate() {
            let known = ranks.entry(fold(word.trim_end())).or_insert(rank);
            *known = rank.min(*known);
        }
    }
    let mut all: BTreeSet<String> = ranks.keys().filter(|it| is_long(it)).cloned().collect();
    if let Some((most, leaked)) = leaked {
        let more = variants(&ranks, &std::fs::read_to_string(leaked)?);
        let left = most.saturating_sub(all.len());
        all.extend(more.into_iter().filter(|it| !ranks.contains_key(it)).take(left));
    }
    std::io::stdout().write_all(&encode(all.iter().map(String::as_str)))?;
    Ok(())
}

/// Whether the list holds words of that length.
fn is_long(word: &str) -> bool {
    word.chars().count() >= LEAST
}

/// What has leaked and is one of `ranks` with digits and signs about it. Those come first whose
/// word is common and whose digits and signs are: by the product of their two ranks, as if people
/// chose them one without regard to the other.
fn variants(ranks: &HashMap<String, usize>, leaked: &str) -> Vec<String> {
    let letter = |it: char| it.is_alphabetic();
    let mut found: BTreeSet<(String, usize, String)> = BTreeSet::new();
    for word in leaked.lines().map(|it| fold(it.trim_end())).filter(|it| is_long(it)) {
        let core = word.trim_matches(|it| !letter(it));
        let Some(rank) = ranks.get(core).filter(|_| core.chars().count() >= 4) else { continue };
        let around = word.replacen(core, "\n", 1);
        found.insert((around, *rank, word));
    }
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for (around, _, _) in &found {
        *counts.entry(around).or_default() += 1;
    }
    let mut common: Vec<(&str, usize)> = counts.into_iter().collect();
    common.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    let places: HashMap<&str, usize> =
        common.iter().enumerate().map(|(place, it)| (it.0, place)).collect();
    let mut sorted: Vec<(usize, &str)> = found
        .iter()
        .map(|(around, rank, word)| ((rank + 1) * (places[around.as_str()] + 1), word.as_str()))
        .collect();
    sorted.sort_unstable();
    sorted.into_iter().map(|it| it.1.to_owned()).collect()
}

/// How long it takes to look up what is there, and what is not.
fn speed(own: Option<&String>) -> Result<(), Failure> {
    let begun = Instant::now();
    let list =
        own.map_or_else(|| Ok(Blocklist::default()), |it| Blocklist::with_file(it.as_ref()))?;
    let entries = list.len();
    let mut out = std::io::stdout();
    writeln!(out, "{entries} entries, ready after {:?}", begun.elapsed())?;
    let words: Vec<String> = (0..200_000_u64)
        .map(|it| format!("{:x}", it.wrapping_mul(0x9e37_79b9_7f4a_7c15)))
        .chain((0..200_000).map(|it| format!("dragon{it}")))
        .collect();
    let begun = Instant::now();
    let hits = words.iter().filter(|it| list.contains(it)).count();
    let each = begun.elapsed() / u32::try_from(words.len())?;
    writeln!(out, "{} look-ups, {hits} found: {each:?} each", words.len())?;
    Ok(())
}
