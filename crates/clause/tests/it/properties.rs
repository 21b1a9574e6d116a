//! What holds for every text and every tree.

use clause::{Clause, Limits, Split, parse};
use proptest::prelude::*;

use super::{inputs, targets, trees};

/// Room for all that the generators make.
fn limits() -> Limits {
    Limits { terms: 100_000, bytes: 1 << 20, ..Limits::default() }
}

fn literals(clause: &Clause) -> usize {
    let mut values = Vec::new();
    clause.clone().split(&mut values);
    values.len()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn a_tree_that_is_printed_reads_as_the_same_tree(tree in trees::clause()) {
        let text = tree.to_string();
        let read = parse(&text, &limits());
        prop_assert_eq!(read.as_ref(), Ok(&tree), "{}", text);
        prop_assert_eq!(read.unwrap().to_string(), text);
    }

    #[test]
    fn aggregates_that_are_printed_read_as_the_same(tree in trees::having()) {
        let text = tree.to_string();
        prop_assert_eq!(clause::having(&text, &limits()), Ok(tree), "{}", text);
        prop_assert!(parse(&text, &limits()).is_err());
    }

    #[test]
    fn lists_that_are_printed_read_as_the_same(
        props in trees::props(),
        sort in trees::sort(),
        relations in trees::relations(),
    ) {
        let text = props.to_string();
        prop_assert_eq!(clause::props(&text, &limits()), Ok(props), "{}", text);
        let text = sort.to_string();
        prop_assert_eq!(clause::sort(&text, &limits()), Ok(sort), "{}", text);
        let text = relations.to_string();
        prop_assert_eq!(clause::relations(&text, &limits()), Ok(relations), "{}", text);
    }

    /// S:V-1: a statement made of the shape cannot have anything of the values in it.
    #[test]
    fn a_shape_is_the_same_for_all_values(tree in trees::clause(), text in "[^\0]{0,20}") {
        let count = literals(&tree);
        let mut shape = tree.clone();
        let mut values = Vec::new();
        shape.split(&mut values);
        prop_assert_eq!(values.len(), count);
        prop_assert_eq!(literals(&shape), 0, "nothing is left to take out");

        // The same text with other texts in it has the same shape.
        let marked: Vec<String> = values.iter().map(|it| it.literal.to_string()).collect();
        let other = clause::Literal::Text(text).to_string();
        let mut changed = tree.to_string();
        for it in marked.iter().filter(|it| it.len() > 6 && it.starts_with('\'')) {
            if !shape.to_string().contains(it.as_str()) {
                changed = changed.replace(it.as_str(), &other);
            }
        }
        if let Ok(mut again) = parse(&changed, &limits()) {
            again.split(&mut Vec::new());
            prop_assert_eq!(again.to_string(), shape.to_string(), "{}", changed);
        }
    }

    #[test]
    fn no_text_panics_and_what_is_read_prints_and_reads_back(text in any::<String>()) {
        check(&text);
    }

    #[test]
    fn no_soup_of_words_panics(words in prop::collection::vec(word(), 0..30)) {
        check(&words.concat());
    }

    #[test]
    fn no_text_of_a_tree_panics_when_it_is_cut_or_bent(
        tree in trees::clause(),
        at in any::<prop::sample::Index>(),
        word in word(),
    ) {
        let characters: Vec<char> = tree.to_string().chars().collect();
        let at = at.index(characters.len());
        let (before, after): (String, String) =
            (characters[..at].iter().collect(), characters[at..].iter().collect());
        check(&before);
        check(&after);
        check(&format!("{before}{word}{after}"));
        check(&format!("{before}{}", after.chars().skip(1).collect::<String>()));
    }
}

fn word() -> impl Strategy<Value = String> {
    let words = prop::sample::select(inputs::WORDS).prop_map(str::to_owned);
    prop_oneof![9 => words, 1 => ".{0,3}"]
}

/// Reads the text as everything that there is. Never panics; what is read, is read again the same.
fn check(text: &str) {
    for target in targets::TARGETS {
        (target.check)(text);
    }
}
