//! Identifiers, one type per kind, and the generator that they and all secrets come from.

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest, Sha256};

use crate::clock::Millis;

/// A user's `objectId`: any text of 1 to 64 characters; ours are upper-case UUIDs.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct UserId(pub Arc<str>);

/// An application's id: an upper-case UUID as text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct AppId(pub Arc<str>);

/// A developer's id: an upper-case UUID as text.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(transparent)]
pub struct DeveloperId(pub Arc<str>);

impl AppId {
    /// The id in the form that files and schemas are named by: lower case, no dashes. Only
    /// letters and digits pass, so an id can never name another place.
    pub fn place(&self) -> Arc<str> {
        let kept = self.0.chars().filter(char::is_ascii_alphanumeric);
        kept.map(|it| it.to_ascii_lowercase()).collect::<String>().into()
    }
}

impl UserId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The source of randomness: the operating system's, or, in a test, a repeatable one.
#[derive(Clone)]
pub struct Random(Option<Arc<Seeded>>);

struct Seeded {
    seed: u64,
    drawn: AtomicU64,
}

impl Random {
    /// The operating system's generator.
    pub fn system() -> Self {
        Self(None)
    }

    /// A generator that gives the same bytes in each run. For tests alone.
    pub fn seeded(seed: u64) -> Self {
        Self(Some(Arc::new(Seeded { seed, drawn: AtomicU64::new(0) })))
    }

    /// `N` random bytes.
    ///
    /// # Panics
    /// When the operating system has no randomness to give: no secret may be made then.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut bytes = [0; N];
        match &self.0 {
            None => {
                #[expect(
                    clippy::expect_used,
                    reason = "going on would hand out guessable secrets"
                )]
                getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
            }
            Some(seeded) => {
                for chunk in bytes.chunks_mut(32) {
                    let turn = seeded.drawn.fetch_add(1, Ordering::Relaxed);
                    let block = Sha256::new()
                        .chain_update(seeded.seed.to_le_bytes())
                        .chain_update(turn.to_le_bytes())
                        .finalize();
                    chunk.copy_from_slice(&block[..chunk.len()]);
                }
            }
        }
        bytes
    }

    /// 128 random bits as upper-case 8-4-4-4-12 text. All bits are random: a version-4 UUID would
    /// have only 122 of them (ASVS 5.0, 7.2.3).
    pub fn opaque(&self) -> String {
        uuid_text(&self.bytes())
    }

    /// A new object id: a UUID of version 7 (RFC 9562, 5.7), so ids made later sort later.
    pub fn object_id(&self, now: Millis) -> String {
        let mut bytes: [u8; 16] = self.bytes();
        bytes[..6].copy_from_slice(&now.0.to_be_bytes()[2..]);
        bytes[6] = 0x70 | (bytes[6] & 0x0f);
        bytes[8] = 0x80 | (bytes[8] & 0x3f);
        uuid_text(&bytes)
    }
}

fn uuid_text(bytes: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02X}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_id_carries_its_time_and_version() {
        let id = Random::seeded(1).object_id(Millis(0x0123_4567_89AB));
        assert!(id.starts_with("01234567-89AB-7"), "{id}");
        assert!(matches!(id.as_bytes()[19], b'8' | b'9' | b'A' | b'B'), "{id}");
        assert_eq!(id.len(), 36);
    }

    #[test]
    fn an_app_id_names_a_place_of_letters_and_digits_only() {
        let id = AppId("../A1-b2/../X".into());
        assert_eq!(&*id.place(), "a1b2x");
    }
}
