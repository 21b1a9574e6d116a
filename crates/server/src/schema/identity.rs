//! The one spelling of an identity that look-up, uniqueness, limits and locks go by.
//!
//! `Ann@Example.COM`, `ann@example.com ` and `ａｎｎ@example.com` are one identity, and an invisible
//! character makes none of them another (Unicode Technical Standards 39 and 46). What the user
//! typed is stored beside it and is what mail goes to.

use std::borrow::Cow;
use std::fmt;

use icu_casemap::CaseMapperBorrowed;
use icu_normalizer::ComposingNormalizerBorrowed;
use icu_properties::props::{DefaultIgnorableCodePoint, GeneralCategory, Script};
use icu_properties::script::ScriptWithExtensions;
use icu_properties::{CodePointMapData, CodePointSetData};
use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

/// The longest identity, in code points, in the typed and in the canonical form: what a STRING
/// column holds.
pub const MOST_CODE_POINTS: usize = 500;
/// The longest local part of a mail address, in bytes (RFC 5321, 4.5.3.1.1).
const MOST_LOCAL_BYTES: usize = 64;
/// The longest mail address, in bytes (RFC 5321, 4.5.3.1.3, without the angle brackets).
const MOST_ADDRESS_BYTES: usize = 254;

/// An identity in its canonical form. Its `Debug` does not tell it: it is often a mail address.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Canonical(String);

impl Canonical {
    /// The canonical text, to store and to look up.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The canonical text, to store and to look up.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Debug for Canonical {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[identity]")
    }
}

/// Why a text is no identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is nothing but white space.
    #[error("the identity is empty. Give one")]
    Empty,
    /// It has more code points than [`MOST_CODE_POINTS`].
    #[error("the identity is too long. Use at most {MOST_CODE_POINTS} characters")]
    TooLong,
    /// It has a character that cannot be seen, that changes the direction of the text, or that
    /// means nothing.
    #[error(
        "the identity contains U+{code_point:04X}, which is {kind}, as character {position}. \
         Leave it out"
    )]
    Character {
        /// The character.
        code_point: u32,
        /// Its place among the characters of the trimmed text, from 1.
        position: usize,
        /// What is wrong with it.
        kind: BadCharacter,
    },
    /// The part before the `@` mixes alphabets.
    #[error(
        "the part of the address before the @ mixes letters of several scripts. Use one script"
    )]
    MixedScripts,
    /// What follows the `@` is no domain.
    #[error("the part of the address after the @ is no domain name. Check its spelling")]
    Domain,
}

/// Which characters an identity cannot have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BadCharacter {
    /// A control character, NUL among them, or a break of line or paragraph.
    Control,
    /// A format character; those that turn the direction of text are among them.
    Format,
    /// A character without an appearance of its own, such as a variation selector.
    Invisible,
    /// A code point that is no character, or none yet.
    Unassigned,
    /// A code point whose meaning is private to some font.
    PrivateUse,
}

impl fmt::Display for BadCharacter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Control => "a control character",
            Self::Format => "a format character",
            Self::Invisible => "invisible",
            Self::Unassigned => "no assigned character",
            Self::PrivateUse => "for private use",
        })
    }
}

/// The form of an identity to store and to show: without outer white space, otherwise as typed.
/// Fails like [`canonical`] for what is empty, too long, or has a character that is not allowed.
pub fn display(text: &str) -> Result<&str, Refusal> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Refusal::Empty);
    }
    // In this order, so that a very long text is not even counted.
    if text.len() > MOST_CODE_POINTS * 4 || text.chars().count() > MOST_CODE_POINTS {
        return Err(Refusal::TooLong);
    }
    for (index, c) in text.chars().enumerate() {
        if let Some(kind) = bad(c) {
            return Err(Refusal::Character { code_point: c.into(), position: index + 1, kind });
        }
    }
    Ok(text)
}

/// The canonical form of an identity: outer white space removed, NFKC, case-folded, and for an
/// address the domain in ASCII (UTS 46). The canonical form of a canonical form is itself.
///
/// An address is what has, after NFKC, one `@` with text on both sides and no white space. Its
/// local part is folded too: nobody gives `Ann@` and `ann@` of one domain to two people, and who
/// could take the other spelling could pass for its owner. Its domain is not: `straße.de` and
/// `strasse.de` are two domains with two owners, and UTS 46 knows which spellings are one.
pub fn canonical(text: &str) -> Result<Canonical, Refusal> {
    let text = compatible(display(text)?);
    let canonical = match split(&text) {
        Some((local, domain)) => {
            let local = folded(local);
            if mixes_scripts(&local) {
                return Err(Refusal::MixedScripts);
            }
            format!("{local}@{}", ascii_domain(domain, IDENTITY_DOMAIN)?)
        }
        None => folded(&text),
    };
    // NFKC and folding can lengthen a text, and leave nothing of a blank and an accent.
    display(&canonical)?;
    Ok(Canonical(canonical))
}

/// Whether mail can be sent to `text`: the usual subset of RFC 5321, 5322 and 6531, without
/// comments, quoted local parts and address literals. Outer white space is not an address's.
///
/// Whatever is an address here also is one for [`canonical`].
pub fn is_address(text: &str) -> bool {
    if text.len() > MOST_ADDRESS_BYTES || !is_plain_address(text) {
        return false;
    }
    // Characters that turn into an @ or a blank must not get past the line above.
    canonical(text).is_ok_and(|it| is_plain_address(it.as_str()))
}

/// ASCII that the domain of an identity does not have. The underscore is allowed: names inside of
/// companies have it, and an identity need not be a mail address.
const IDENTITY_DOMAIN: AsciiDenyList = AsciiDenyList::new(true, "!\"#$%&'()*+,/:;<=>?@[\\]^`{|}~");

fn is_plain_address(text: &str) -> bool {
    let Some((local, domain)) = split(text) else { return false };
    let atoms = local.split('.').all(|it| !it.is_empty() && it.chars().all(is_atom_text));
    let domain = ascii_domain(domain, AsciiDenyList::STD3);
    let top_level = domain.as_deref().map_or(None, |it| it.rsplit_once('.'));
    local.len() <= MOST_LOCAL_BYTES
        && atoms
        // A number at the end makes an IPv4 address of it (RFC 1123, 2.1).
        && top_level.is_some_and(|(_, it)| !it.bytes().all(|it| it.is_ascii_digit()))
}

/// RFC 5322, 3.2.3, and RFC 6531, 3.3: `atext`.
fn is_atom_text(c: char) -> bool {
    if c.is_ascii() {
        c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c)
    } else {
        !c.is_whitespace()
    }
}

/// Local part and domain, if it has the form of an address.
fn split(text: &str) -> Option<(&str, &str)> {
    let (local, domain) = text.split_once('@')?;
    let one_at = !domain.contains('@');
    let both = !local.is_empty() && !domain.is_empty();
    (one_at && both && !text.contains(char::is_whitespace)).then_some((local, domain))
}

fn ascii_domain(domain: &str, deny: AsciiDenyList) -> Result<String, Refusal> {
    let ascii = Uts46::new().to_ascii(domain.as_bytes(), deny, Hyphens::Allow, DnsLength::Verify);
    ascii.map(Cow::into_owned).map_err(|_| Refusal::Domain)
}

/// NFKC without outer white space.
fn compatible(text: &str) -> String {
    let nfkc = ComposingNormalizerBorrowed::new_nfkc();
    // Some characters decompose to a blank and an accent, and then the blank is outer.
    nfkc.normalize(text).trim().to_owned()
}

/// NFKC and full case folding, repeated until neither changes anything: folding can bring out
/// characters that compose, and composing characters that fold.
fn folded(text: &str) -> String {
    let mut text = text.to_owned();
    // Three rounds are the most that any text takes; a canonical form is told by a test, not here.
    for _ in 0..8 {
        let next = compatible(&CaseMapperBorrowed::new().fold_string(&text));
        if next == text {
            break;
        }
        text = next;
    }
    text
}

fn bad(c: char) -> Option<BadCharacter> {
    // All of printable ASCII is fine, and it is nearly all there is.
    if matches!(c, ' '..='~') {
        return None;
    }
    match CodePointMapData::<GeneralCategory>::new().get(c) {
        GeneralCategory::Control
        | GeneralCategory::LineSeparator
        | GeneralCategory::ParagraphSeparator => Some(BadCharacter::Control),
        GeneralCategory::Format => Some(BadCharacter::Format),
        GeneralCategory::Unassigned | GeneralCategory::Surrogate => Some(BadCharacter::Unassigned),
        GeneralCategory::PrivateUse => Some(BadCharacter::PrivateUse),
        _ if CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(c) => {
            Some(BadCharacter::Invisible)
        }
        _ => None,
    }
}

/// Whether no single script has all of the characters (UTS 39, 5.1). Han goes with Hiragana and
/// Katakana, with Hangul, and with Bopomofo: these are how Japanese, Korean and Chinese are
/// written. Digits, punctuation and accents belong to every script.
fn mixes_scripts(text: &str) -> bool {
    let scripts = ScriptWithExtensions::new();
    let mut common: Option<Vec<Script>> = None;
    for c in text.chars() {
        let of_c = scripts.get_script_extensions_val(c);
        if of_c.contains(&Script::Common) || of_c.contains(&Script::Inherited) {
            continue;
        }
        let mut of_c: Vec<Script> = of_c.iter().collect();
        for (parts, whole) in WRITING_SYSTEMS {
            if of_c.iter().any(|it| parts.contains(it)) {
                of_c.push(*whole);
            }
        }
        let left = match common {
            None => of_c,
            Some(before) => before.into_iter().filter(|it| of_c.contains(it)).collect(),
        };
        if left.is_empty() {
            return true;
        }
        common = Some(left);
    }
    false
}

/// Scripts that are written together, and the code for the mixture (ISO 15924).
const WRITING_SYSTEMS: &[(&[Script], Script)] = &[
    (&[Script::Han, Script::Hiragana, Script::Katakana], Script::Japanese),
    (&[Script::Han, Script::Hangul], Script::Korean),
    (&[Script::Han, Script::Bopomofo], Script::HanWithBopomofo),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(text: &str) -> Result<String, Refusal> {
        canonical(text).map(Canonical::into_string)
    }

    #[test]
    fn spellings_of_one_identity_have_one_form() {
        let table: &[(&str, &[&str])] = &[
            (
                "ann@example.com",
                &[
                    "ann@example.com",
                    " ann@example.com\t",
                    "\u{a0}\u{3000}ann@example.com\r\n",
                    "Ann@Example.COM",
                    "ANN@EXAMPLE.COM",
                    "ａｎｎ@example.com",
                    "ann＠example.com",
                    "ann﹫example.com",
                    "ann@ｅｘａｍｐｌｅ．com",
                    "ann@example。com",
                    "𝐚𝓃𝕟@example.com",
                    "ⓐnn@ℯxample.com",
                ],
            ),
            ("kelvin", &["kelvin", "KELVIN", "\u{212a}elvin"]),
            ("strasse", &["straße", "STRASSE", "STRAẞE", "Straſſe"]),
            ("σίσυφοσ", &["σίσυφος", "ΣΊΣΥΦΟΣ", "σίσυφοσ"]),
            ("éa", &["éa", "e\u{301}a", "ÉA", "E\u{301}A"]),
            ("office", &["oﬃce", "OFFICE"]),
            ("i̇stanbul", &["İstanbul", "i\u{307}stanbul"]),
            (
                "ann@xn--exmple-cua.com",
                &[
                    "ann@exämple.com",
                    "ANN@EXÄMPLE.com",
                    "ann@XN--EXMPLE-CUA.com",
                    "ann@exa\u{308}mple.com",
                ],
            ),
            ("ann@xn--strae-oqa.de", &["ann@straße.de", "ann@STRAẞE.de"]),
            ("ann@strasse.de", &["ann@strasse.de", "ann@STRASSE.DE"]),
            ("strasse@x.de", &["straße@x.de"]),
            ("用户@xn--fsqu00a.xn--0zwm56d", &["用户@例子.测试", "用户@例子。测试"]),
            ("ann smith", &["Ann Smith", " ann smith ", "ann\u{a0}smith"]),
            ("+49 170 1234567", &["+49 170 1234567", "＋４９ １７０ １２３４５６７"]),
            ("42", &["42", "⁴²", "４２"]),
            ("\u{308}x", &["\u{a8}x", " \u{308}x"]),
            ("ɐ@b_c", &["Ɐ@b_c"]),
            ("@ann", &["@Ann"]),
            ("ann@", &["ANN@"]),
            ("a@b@c", &["A@B@C"]),
            ("ann @ home", &["Ann @ Home"]),
            ("ann@localhost", &["Ann@Localhost"]),
            ("👩🏽", &["👩🏽"]),
        ];
        for (form, spellings) in table {
            for spelling in *spellings {
                assert_eq!(of(spelling).as_deref(), Ok(*form), "{spelling:?}");
            }
            assert_eq!(of(form).as_deref(), Ok(*form));
        }
    }

    #[test]
    fn what_differs_stays_different() {
        let differ =
            ["ann", "an", "a nn", "ann.", "a.nn", "ann+x", "änn", "аnn", "ann0", "annO", "@nn"];
        let mut forms: Vec<_> = differ.iter().map(|it| of(it).unwrap()).collect();
        forms.sort();
        forms.dedup();
        assert_eq!(forms.len(), differ.len());
    }

    #[test]
    fn characters_that_deceive_are_refused() {
        use BadCharacter::*;
        let table: &[(&str, u32, usize, BadCharacter)] = &[
            ("a\0b", 0, 2, Control),
            ("a\nb", 0x0a, 2, Control),
            ("a\tb", 0x09, 2, Control),
            ("a\u{7f}", 0x7f, 2, Control),
            ("a\u{9b}b", 0x9b, 2, Control),
            ("a\u{2028}b", 0x2028, 2, Control),
            (" a\u{2029}b", 0x2029, 2, Control),
            ("a\u{ad}b", 0xad, 2, Format),
            ("ann\u{200b}", 0x200b, 4, Format),
            ("\u{200d}a", 0x200d, 1, Format),
            ("a\u{202e}b", 0x202e, 2, Format),
            ("a\u{2066}b", 0x2066, 2, Format),
            ("\u{200f}a", 0x200f, 1, Format),
            ("\u{61c}a", 0x61c, 1, Format),
            ("\u{feff}a", 0xfeff, 1, Format),
            ("a\u{e0041}", 0xe0041, 2, Format),
            ("a\u{fe0f}", 0xfe0f, 2, Invisible),
            ("a\u{34f}b", 0x34f, 2, Invisible),
            ("\u{3164}", 0x3164, 1, Invisible),
            ("\u{115f}", 0x115f, 1, Invisible),
            ("\u{e000}", 0xe000, 1, PrivateUse),
            ("\u{10fffd}", 0x10_fffd, 1, PrivateUse),
            ("a\u{378}", 0x378, 2, Unassigned),
            ("\u{fffe}", 0xfffe, 1, Unassigned),
            ("\u{fdd0}", 0xfdd0, 1, Unassigned),
            ("\u{10ffff}", 0x10_ffff, 1, Unassigned),
        ];
        for (text, code_point, position, kind) in table {
            let refusal =
                Refusal::Character { code_point: *code_point, position: *position, kind: *kind };
            for text in [(*text).to_owned(), format!("{text}@example.com")] {
                assert_eq!(of(&text), Err(refusal), "{text:?}");
                assert_eq!(display(&text), Err(refusal), "{text:?}");
                assert!(!is_address(&text), "{text:?}");
            }
        }
        assert_eq!(
            of("ann\u{200b}").unwrap_err().to_string(),
            "the identity contains U+200B, which is a format character, as character 4. Leave it out"
        );
    }

    #[test]
    fn nothing_is_no_identity() {
        for text in ["", " ", "\t\r\n", "\u{3000}\u{a0}\u{2003}\u{85}"] {
            assert_eq!(of(text), Err(Refusal::Empty));
            assert_eq!(display(text), Err(Refusal::Empty));
        }
    }

    #[test]
    fn length_is_bounded_before_and_after() {
        assert_eq!(of(&"a".repeat(500)).map(|it| it.len()), Ok(500));
        assert_eq!(of(&"a".repeat(501)), Err(Refusal::TooLong));
        assert_eq!(of(&"😀".repeat(500)).map(|it| it.len()), Ok(2_000));
        assert_eq!(display(&"😀".repeat(501)), Err(Refusal::TooLong));
        assert_eq!(of(&format!("{}a", " ".repeat(10_000))).as_deref(), Ok("a"));
        // One character that becomes eighteen.
        assert_eq!(of(&"\u{fdfa}".repeat(27)).map(|it| it.chars().count()), Ok(486));
        assert_eq!(of(&"\u{fdfa}".repeat(28)), Err(Refusal::TooLong));
    }

    #[test]
    fn the_shown_form_is_as_typed() {
        assert_eq!(display("  Ann Ｓmith \u{a0}"), Ok("Ann Ｓmith"));
        assert_eq!(display("Straße@Exämple.COM"), Ok("Straße@Exämple.COM"));
    }

    #[test]
    fn a_local_part_is_written_in_one_script() {
        for local in [
            "ann.smith-99",
            "änn",
            "анна",
            "анна1",
            "αννα",
            "田中",
            "田中さん",
            "タナカたなか",
            "김철수",
            "金철수",
            "ㄅ中",
            "עדה",
            "अन्ना",
            "ānna",
            "123",
            "_-",
            "ann´",
            "e\u{301}",
        ] {
            assert!(of(&format!("{local}@example.com")).is_ok(), "{local}");
        }
        for local in [
            "аnn",
            "annа",
            "gооgle",
            "αnn",
            "ann田中",
            "анна.smith",
            "たなか김",
            "ㄅさ",
            "ոnn",
            "עann",
        ] {
            let refused = of(&format!("{local}@example.com"));
            assert_eq!(refused, Err(Refusal::MixedScripts), "{local}");
            // A user name is not an address, and people do mix in names.
            assert!(of(local).is_ok(), "{local}");
        }
    }

    #[test]
    fn a_domain_that_is_none_is_refused() {
        for domain in [
            ".",
            ".com",
            "example.com.",
            "example..com",
            "-.xn--a",
            "xn--a.com",
            "xn--0.com",
            "exa$mple.com",
            "[127.0.0.1]",
            "a:b",
            "a/b",
            "a\\b",
            "%41.com",
            "\u{300}a.com",
        ] {
            assert_eq!(of(&format!("ann@{domain}")), Err(Refusal::Domain), "{domain}");
        }
        let label = "a".repeat(63);
        assert!(of(&format!("ann@{label}.com")).is_ok());
        assert_eq!(of(&format!("ann@{label}a.com")), Err(Refusal::Domain));
        let long = format!("{label}.{label}.{label}.{label}");
        assert_eq!(of(&format!("ann@{long}")), Err(Refusal::Domain));
    }

    #[test]
    fn mail_addresses_are_told_from_other_texts() {
        let local_64 = "a".repeat(64);
        let label = "d".repeat(60);
        for good in [
            "ann@example.com",
            "Ann.Smith+tag@mail.example.co.uk",
            "o'neil@example.com",
            "a!#$%&'*+-/=?^_`{|}~z@example.com",
            "a@b.co",
            "1@2.example",
            "ann@xn--exmple-cua.com",
            "ann@exämple.com",
            "änn@exämple.com",
            "用户@例子.测试",
            "ann@a-b.c-d.example",
            "ann@3com.com",
            &format!("{local_64}@example.com"),
            &format!("a@{label}.{label}.{label}.{label}.example"),
        ] {
            assert!(is_address(good), "{good}");
        }
        for bad in [
            "",
            "ann",
            "@",
            "ann@",
            "@example.com",
            "ann@localhost",
            "ann@example.com.",
            "ann@.example.com",
            "ann@example..com",
            "ann@exa_mple.com",
            "ann@example.com ",
            " ann@example.com",
            "an n@example.com",
            "ann@exam ple.com",
            "ann@b@example.com",
            ".ann@example.com",
            "ann.@example.com",
            "a..nn@example.com",
            "\"ann\"@example.com",
            "ann(x)@example.com",
            "ann@[127.0.0.1]",
            "ann@127.0.0.1",
            "ann@example.123",
            "a,b@example.com",
            "a;b@example.com",
            "a:b@example.com",
            "<ann@example.com>",
            "Ann <ann@example.com>",
            "ann@example.com\r\nBcc: eve@example.com",
            "ann@example.com,eve@example.com",
            "ann＠example.com",
            "a＠b@example.com",
            "a\u{a0}b@example.com",
            "a\u{a8}b@example.com",
            "аnn@example.com",
            "ann@xn--a.com",
            "ann\u{200b}@example.com",
            &format!("{local_64}a@example.com"),
            &format!("{}@{label}.{label}.{label}.{label}.example", "a".repeat(4)),
        ] {
            assert!(!is_address(bad), "{bad:?}");
        }
    }

    #[test]
    fn the_form_does_not_show_in_logs() {
        let form = canonical("ann@example.com").unwrap();
        assert_eq!(format!("{form:?}"), "[identity]");
        assert_eq!(form.as_str(), "ann@example.com");
    }

    #[test]
    fn every_single_character_has_a_stable_form() {
        // Alone, after a letter, in a local part and in a domain: all of Unicode.
        for c in '\0'..=char::MAX {
            for text in [
                format!("{c}"),
                format!("a{c}b"),
                format!("x{c}@example.com"),
                format!("x@a{c}b.com"),
            ] {
                if let Ok(once) = of(&text) {
                    assert_eq!(of(&once).as_ref(), Ok(&once), "{text:?} U+{:04X}", u32::from(c));
                }
            }
        }
    }

    /// Characters that decompose, compose, fold, or split an address.
    const NASTY: &str = "[ -~\u{df}\u{1e9e}\u{17f}\u{130}\u{131}\u{c5}\u{3a3}\u{3c2}\u{3c3}\u{3b0}\u{390}\u{212a}\u{345}\u{300}-\u{308}\u{390}\u{3b0}\u{1f80}-\u{1fbd}\u{1fc1}\u{fb00}-\u{fb06}\u{fb13}\u{ff20}\u{ff0e}\u{3002}\u{fe6b}\u{2024}\u{a0}\u{a8}\u{b4}\u{2002}\u{fdfa}\u{149}\u{1f0}\u{391}\u{3b1}\u{ac00}\u{1100}\u{1161}\u{11a8}\u{1e96}-\u{1e9a}\u{337f}\u{33c2}\u{249c}\u{1d49c}\u{1f110}]{1,12}";

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        #[test]
        fn the_canonical_form_of_a_canonical_form_is_itself(text in NASTY) {
            if let Ok(once) = of(&text) {
                prop_assert_eq!(of(&once), Ok(once.clone()));
                prop_assert_eq!(display(&once), Ok(once.as_str()));
            }
        }

        #[test]
        fn any_text_is_refused_or_has_a_stable_form(text in "\\PC{0,12}(@\\PC{1,8}\\.com)?") {
            if let Ok(once) = of(&text) {
                prop_assert_eq!(of(&once), Ok(once.clone()));
            }
        }

        #[test]
        fn case_and_outer_white_space_never_matter(text in "[a-zA-ZÀ-ÿА-я]{1,10}(@[a-z]{1,5}\\.com)?") {
            let form = of(&text);
            prop_assert_eq!(of(&format!(" {text}\u{3000}")), form.clone());
            if !text.contains(['@', 'ß']) {
                prop_assert_eq!(of(&text.to_uppercase()), form.clone());
                prop_assert_eq!(of(&text.to_lowercase()), form);
            }
        }

        #[test]
        fn an_address_is_one_in_both_forms(text in "[a-zA-Zäéß.+'_-]{1,10}@[a-zA-Zäß.-]{1,10}\\.[a-z0-9]{1,3}") {
            if is_address(&text) {
                let form = of(&text).unwrap();
                prop_assert!(is_address(&form), "{}", form);
                prop_assert!(form.split_once('@').unwrap().1.is_ascii());
            }
        }
    }
}
