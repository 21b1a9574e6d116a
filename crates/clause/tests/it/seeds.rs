//! The examples as seeds of the fuzzers, and every small change of them.

use std::path::PathBuf;

use super::inputs::{self, Dice, WORDS};
use super::targets::{TARGETS, Target};
use super::{examples, lists};

fn folder(target: &str) -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let package = package.unwrap_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")));
    package.join("../../fuzz/seeds").join(target)
}

fn of(target: &Target) -> Vec<String> {
    let examples: Vec<&str> = match target.name {
        "clause" => examples::EXAMPLES
            .iter()
            .map(|it| it.0)
            .chain(examples::GROUPS.iter().map(|it| it.0))
            .collect(),
        "props" => lists::PROPS.iter().map(|it| it.0).collect(),
        _ => lists::SORTS.iter().map(|it| it.0).collect(),
    };
    examples.into_iter().map(str::to_owned).collect()
}

/// libFuzzer wants a file for each. With `WRITE_SEEDS` set, this test writes them.
#[test]
fn the_seeds_of_the_fuzzers_are_the_examples() {
    for target in TARGETS {
        let folder = folder(target.name);
        if std::env::var_os("WRITE_SEEDS").is_some() {
            let _ = std::fs::remove_dir_all(&folder);
            std::fs::create_dir_all(&folder).unwrap();
            for (index, text) in of(target).iter().enumerate() {
                std::fs::write(folder.join(format!("{index:03}")), text).unwrap();
            }
        }
        let files = std::fs::read_dir(&folder).unwrap().map(|it| it.unwrap().path());
        let mut found: Vec<String> = files.map(|it| std::fs::read_to_string(it).unwrap()).collect();
        let mut expected = of(target);
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "run `WRITE_SEEDS=1 cargo test -p clause seeds`");
    }
}

#[test]
fn no_example_panics_when_a_character_is_cut_out_doubled_or_replaced() {
    for target in TARGETS {
        for text in of(target) {
            let characters: Vec<char> = text.chars().collect();
            let part = |range: std::ops::Range<usize>| characters[range].iter().collect::<String>();
            for at in 0..characters.len() {
                let (before, after) = (part(0..at), part(at + 1..characters.len()));
                (target.check)(&before);
                (target.check)(&after);
                (target.check)(&format!("{before}{after}"));
                (target.check)(&format!("{before}{}{}{after}", characters[at], characters[at]));
                for word in WORDS {
                    (target.check)(&format!("{before}{word}{after}"));
                    (target.check)(&format!("{before}{word}{}{after}", characters[at]));
                }
            }
        }
    }
}

#[test]
fn no_example_panics_when_it_is_bent_in_many_places() {
    for target in TARGETS {
        let seeds = of(target);
        let mut dice = Dice(1);
        for _ in 0..20_000 {
            (target.check)(&inputs::text(&mut dice, &seeds));
        }
    }
}
