//! A password as a person typed it, in the one spelling that is hashed.

use icu_normalizer::ComposingNormalizerBorrowed;
use zeroize::{ZeroizeOnDrop, Zeroizing};

/// A plain password, normalised to NFC and otherwise as typed: nothing is trimmed, folded or cut
/// (NIST SP 800-63B, passwords; ASVS 5.0, 6.2.8).
///
/// It cannot be printed, compared or serialised, and its memory is overwritten when it goes.
/// Length limits are policy and live with the caller; it has [`Password::code_points`] and
/// [`Password::bytes_len`] for them.
pub struct Password(Zeroizing<String>);

impl ZeroizeOnDrop for Password {}

/// How many bytes of UTF-8 NFC may make of one byte (Unicode Standard Annex 15).
const MOST_GROWTH: usize = 3;

impl Password {
    /// Takes `text` as typed. A composed and a decomposed spelling are one password, because
    /// keyboards differ in which of them they send.
    pub fn new(text: &str) -> Self {
        let nfc = ComposingNormalizerBorrowed::new_nfc();
        let (done, rest) = nfc.split_normalized(text);
        // Room for the longest outcome at once: a string that grows leaves copies behind.
        let room = done.len().saturating_add(rest.len().saturating_mul(MOST_GROWTH));
        let mut normal = Zeroizing::new(String::with_capacity(room));
        normal.push_str(done);
        for c in nfc.normalize_iter(rest.chars()) {
            normal.push(c);
        }
        Self(normal)
    }

    /// Length in code points, after normalisation: what a least length counts in.
    pub fn code_points(&self) -> usize {
        self.0.chars().count()
    }

    /// Length in bytes, after normalisation: what the greatest length counts in.
    pub fn bytes_len(&self) -> usize {
        self.0.len()
    }

    /// The normalised text, for a policy that must read it. Never log, store or copy it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Password {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn composed_and_decomposed_spellings_are_one_password() {
        for (typed, hashed) in [
            ("caf\u{e9}", "caf\u{e9}"),
            ("cafe\u{301}", "caf\u{e9}"),
            ("\u{1112}\u{1161}\u{11ab}", "\u{d55c}"),
            ("\u{212b}", "\u{c5}"),
            ("q\u{323}\u{307}", "q\u{323}\u{307}"),
            ("q\u{307}\u{323}", "q\u{323}\u{307}"),
        ] {
            assert_eq!(Password::new(typed).reveal(), hashed);
        }
    }

    #[test]
    fn nothing_but_the_composition_changes() {
        for text in ["", " ", "  Correct Horse\t", "ﬁ", "ſ", "ẞ", "①", "a\0b", "\u{feff}x", "👩‍👩‍👧"]
        {
            assert_eq!(Password::new(text).reveal(), text);
        }
    }

    #[test]
    fn lengths_count_the_normalised_text() {
        let password = Password::new("e\u{301}e\u{301}");
        assert_eq!((password.code_points(), password.bytes_len()), (2, 4));
        // The character that grows most: one code point of 4 bytes becomes three of 12.
        let password = Password::new("\u{1d160}");
        assert_eq!((password.code_points(), password.bytes_len()), (3, 12));
    }

    proptest! {
        #[test]
        fn a_password_never_outgrows_the_room_made_for_it(text in "\\PC{0,40}|[\u{1d15e}-\u{1d164}\u{300}-\u{345}é]{0,40}") {
            let password = Password::new(&text);
            prop_assert!(password.bytes_len() <= text.len() * MOST_GROWTH);
            prop_assert!(password.0.capacity() <= (text.len() * MOST_GROWTH).max(8));
            let again = Password::new(password.reveal());
            prop_assert_eq!(again.reveal(), password.reveal());
        }
    }
}
