//! Texts to feed to the targets: soups of words, bent examples, noise; the same for the same seed.

/// What the language is made of, and a little of what it is not.
pub const WORDS: &[&str] = &[
    "a",
    "b.c",
    "`d`",
    " ",
    " and ",
    " or ",
    "not ",
    " like ",
    " in ",
    "(",
    ")",
    "[",
    "]",
    ",",
    ".",
    "'x'",
    "''",
    "'",
    "\"",
    "`",
    "1",
    "-1",
    "1.5e3",
    "true",
    "null",
    " is ",
    " between ",
    "=",
    "!=",
    "<",
    ">=",
    "=>",
    "+",
    "-",
    "*",
    "/",
    "%",
    "->",
    "'$.a'",
    "upper(",
    "Count(",
    "DATEADD(",
    "interval ",
    "day",
    "case ",
    "when ",
    " then ",
    " else ",
    " end",
    " after ",
    " at or before ",
    " as ",
    " desc",
    "T[",
    "].",
    "\0",
    "\\",
    "\u{a0}",
    "é",
    "𝕏",
    "\u{301}",
    ";",
    "--",
    "?",
    "e5",
];

/// A generator of numbers (`SplitMix64`).
pub struct Dice(pub u64);

impl Dice {
    /// A number below `sides`, which is not 0.
    pub fn below(&mut self, sides: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let number = usize::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or_default();
        number % sides
    }

    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

/// Any text: mostly one of `seeds`, bent in a few places.
pub fn text(dice: &mut Dice, seeds: &[String]) -> String {
    match dice.below(8) {
        0 => soup(dice, 40),
        1 => noise(dice, 60),
        _ => {
            let mut text = seeds[dice.below(seeds.len())].clone();
            for _ in 0..=dice.below(4) {
                text = bent(dice, &text, seeds);
            }
            text
        }
    }
}

fn soup(dice: &mut Dice, most: usize) -> String {
    (0..dice.below(most)).map(|_| dice.one(WORDS)).collect()
}

fn noise(dice: &mut Dice, most: usize) -> String {
    let bytes: Vec<u8> =
        (0..dice.below(most)).map(|_| u8::try_from(dice.below(256)).unwrap_or_default()).collect();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The text with one change: something is cut out, put in, doubled, exchanged or repeated.
fn bent(dice: &mut Dice, text: &str, seeds: &[String]) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut places = [dice.below(characters.len() + 1), dice.below(characters.len() + 1)];
    places.sort_unstable();
    let [from, to] = places;
    let part = |range: std::ops::Range<usize>| characters[range].iter().collect::<String>();
    let (before, middle, after) = (part(0..from), part(from..to), part(to..characters.len()));
    match dice.below(8) {
        0 => before + &after,
        1 => before + &middle,
        2 => before + dice.one(WORDS) + &middle + &after,
        3 => before + dice.one(WORDS) + &after,
        4 => before + &middle + &middle + &after,
        5 => before + &seeds[dice.below(seeds.len())] + &after,
        6 => before + &middle.repeat(dice.below(70)) + &after,
        _ => before + &noise(dice, 4) + &middle + &after,
    }
}
