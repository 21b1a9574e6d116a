//! A stored hash in its self-describing text form (the PHC string format).
//!
//! `$argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>`, both in Base64 without padding.

use std::fmt::Write as _;

use base64ct::{Base64Unpadded, Encoding};
use zeroize::{ZeroizeOnDrop, Zeroizing};

use crate::{Error, Params};

/// A password hash as it is stored, with everything in it that is needed to check a password.
///
/// It cannot be printed, compared or serialised; [`PasswordHash::as_str`] is for the store alone.
/// Its memory is overwritten when it goes.
#[derive(Clone)]
pub struct PasswordHash {
    text: Zeroizing<String>,
    pub(crate) params: Params,
    pub(crate) salt: Vec<u8>,
    pub(crate) digest: Zeroizing<Vec<u8>>,
}

impl ZeroizeOnDrop for PasswordHash {}

const START: &str = "$argon2id$v=19$";
/// Longer than any text that the limits below allow; what is longer is not even looked at.
const MOST_TEXT: usize = 256;
/// The salts that we check, in bytes. New ones have 16.
const SALT_BYTES: std::ops::RangeInclusive<usize> = 8..=48;
/// The outputs that we check, in bytes. New ones have 32.
const DIGEST_BYTES: std::ops::RangeInclusive<usize> = 16..=64;

impl PasswordHash {
    /// Reads a stored hash. Fails with [`Error::Malformed`] for an unknown format and for costs
    /// above the upper limits, so that a hash of unknown origin is refused before it is ever run.
    pub fn parse(text: &str) -> Result<Self, Error> {
        read(text).ok_or(Error::Malformed)
    }

    /// The text to store.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn new(params: Params, salt: &[u8], digest: Zeroizing<Vec<u8>>) -> Self {
        let mut text = Zeroizing::new(String::with_capacity(MOST_TEXT));
        let Params { memory_kib, iterations, parallelism } = params;
        let encoded = Zeroizing::new(Base64Unpadded::encode_string(&digest));
        let salt_encoded = Base64Unpadded::encode_string(salt);
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "{START}m={memory_kib},t={iterations},p={parallelism}${salt_encoded}${}",
            encoded.as_str()
        );
        Self { text, params, salt: salt.to_vec(), digest }
    }
}

fn read(text: &str) -> Option<PasswordHash> {
    if text.len() > MOST_TEXT {
        return None;
    }
    let mut fields = text.strip_prefix(START)?.split('$');
    let costs = fields.next()?;
    let salt = Base64Unpadded::decode_vec(fields.next()?).ok()?;
    let digest = Zeroizing::new(Base64Unpadded::decode_vec(fields.next()?).ok()?);
    let fits = SALT_BYTES.contains(&salt.len()) && DIGEST_BYTES.contains(&digest.len());
    if fields.next().is_some() || !fits {
        return None;
    }

    let mut costs = costs.split(',');
    let mut cost = |name: &str| number(costs.next()?.strip_prefix(name)?);
    let params =
        Params { memory_kib: cost("m=")?, iterations: cost("t=")?, parallelism: cost("p=")? };
    // Key ids and associated data (`keyid=`, `data=`) would change the outcome; we have neither.
    if costs.next().is_some() {
        return None;
    }
    params.check_possible().ok()?;
    // The text may come from a string with spare room; the copy to keep is exactly as long.
    Some(PasswordHash { text: Zeroizing::new(text.to_owned()), params, salt, digest })
}

/// A decimal number in its one spelling: digits, no sign, no leading zero.
fn number(text: &str) -> Option<u32> {
    let digits = !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
    if !digits || (text.len() > 1 && text.starts_with('0')) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SALT: &str = "c29tZXNhbHRzb21lc2E";
    const DIGEST: &str = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    #[test]
    fn a_hash_reads_as_it_was_written() {
        let text = format!("$argon2id$v=19$m=19456,t=2,p=1${SALT}${DIGEST}");
        let hash = PasswordHash::parse(&text).unwrap();
        assert_eq!(hash.as_str(), text);
        assert_eq!(hash.params, Params::default());
        assert_eq!(hash.salt, b"somesaltsomesa");
        assert_eq!(*hash.digest, [0; 32]);
    }

    #[test]
    fn what_is_odd_is_refused() {
        let good = format!("$argon2id$v=19$m=19456,t=2,p=1${SALT}${DIGEST}");
        assert!(PasswordHash::parse(&good).is_ok());
        let odd = [
            String::new(),
            "plain".into(),
            good[1..].into(),
            format!("{good}$"),
            format!("{good}="),
            format!(" {good}"),
            format!("{good}\n"),
            good.replace("argon2id", "argon2i"),
            good.replace("argon2id", "argon2d"),
            good.replace("argon2id", "ARGON2ID"),
            good.replace("v=19", "v=16"),
            good.replace("$v=19", ""),
            good.replace("m=19456,t=2", "t=2,m=19456"),
            good.replace("p=1", "p=1,keyid=AAAA"),
            good.replace("p=1", "p=1,data=AAAA"),
            good.replace(",p=1", ""),
            good.replace("t=2", "t=02"),
            good.replace("t=2", "t=+2"),
            good.replace("t=2", "t=-2"),
            good.replace("t=2", "t="),
            good.replace("t=2", "t=2 "),
            good.replace("t=2", "t=٢"),
            good.replace("t=2", "t=0"),
            good.replace("p=1", "p=0"),
            good.replace("p=1", "p=17"),
            good.replace("m=19456", "m=7"),
            good.replace("m=19456", "m=1048577"),
            good.replace("m=19456", "m=99999999999999999999"),
            good.replace("t=2", "t=4294967295"),
            good.replace(SALT, "c29tZQ"),
            good.replace(SALT, ""),
            good.replace(SALT, &"A".repeat(100)),
            good.replace(DIGEST, "AAAA"),
            good.replace(DIGEST, "*"),
            good.replace(DIGEST, &DIGEST.replace('A', "_")),
            good.replace(DIGEST, &"A".repeat(120)),
            "$argon2id$v=19$m=1,t=1,p=1$".repeat(10_000),
        ];
        for text in odd {
            assert_eq!(PasswordHash::parse(&text).err(), Some(Error::Malformed), "{text}");
        }
    }

    proptest! {
        #[test]
        fn reading_never_panics(text in "\\PC*") {
            let _ = PasswordHash::parse(&text);
        }

        #[test]
        fn reading_something_like_a_hash_never_panics(
            text in "\\$argon2id\\$v=19\\$m=[0-9]{0,12},t=[0-9]{0,12},p=[0-9]{0,3}\\$[A-Za-z0-9+/=]{0,80}\\$[A-Za-z0-9+/=]{0,99}\\$?"
        ) {
            if let Ok(hash) = PasswordHash::parse(&text) {
                prop_assert_eq!(hash.as_str(), &text);
                prop_assert!(hash.params.check_possible().is_ok());
            }
        }

        #[test]
        fn what_is_written_is_read_the_same(
            memory_kib in 8_u32..=1 << 18,
            iterations in 1_u32..=16,
            salt in proptest::collection::vec(any::<u8>(), SALT_BYTES),
            digest in proptest::collection::vec(any::<u8>(), DIGEST_BYTES),
        ) {
            let params = Params { memory_kib, iterations, parallelism: 1 };
            let written = PasswordHash::new(params, &salt, Zeroizing::new(digest.clone()));
            let read = PasswordHash::parse(written.as_str()).unwrap();
            prop_assert_eq!(read.params, params);
            prop_assert_eq!(read.salt, salt);
            prop_assert_eq!(&*read.digest, &digest);
        }
    }
}
