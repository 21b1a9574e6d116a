//! Secrets: bearer tokens and API keys, what is stored of them, and the sealing of those that must
//! be read back.
//!
//! **Invariant:** nothing here has a `Display` or a `Serialize`, and `Debug` prints `[secret]`.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::Arc;

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hkdf::Hkdf;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::ids::Random;

/// A bearer secret as its owner shows it: a session token, an API key, a set-up link.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Token(String);

impl Token {
    /// A new one: 128 bits of the generator in upper-case 8-4-4-4-12 form.
    pub fn new(random: &Random) -> Self {
        Self(random.opaque())
    }

    /// One that a client sent.
    pub fn from_client(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// What is stored of it and looked up by: its SHA-256. With 128 random bits inside, a plain
    /// digest cannot be guessed back (ASVS 5.0, 11.4.1).
    pub fn digest(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.0.as_bytes()).into())
    }

    /// The text itself, for the one answer that hands it out.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("[secret]")
    }
}

/// The SHA-256 of a [`Token`]. Compared in constant time, so that it can be searched for as well.
#[derive(Clone, Copy, Eq)]
pub struct TokenHash(pub [u8; 32]);

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Hash for TokenHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("[secret]")
    }
}

/// Why a master key cannot be used, or a sealed value not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// The file or text is not 32 bytes in Base64.
    #[error(
        "the master key is not 32 bytes in Base64. Make one with: head -c 32 /dev/urandom | base64"
    )]
    NotAKey,
    /// Others may read the file.
    #[error("{0} can be read by others. Run: chmod 600 {0}")]
    Open(String),
    /// The file cannot be read or written.
    #[error("cannot use the master key file {0}: {1}")]
    File(String, std::io::Error),
    /// The value was not sealed for this place, by this key, or it was changed.
    #[error("a sealed value does not open with the master key that is configured")]
    DoesNotOpen,
}

/// Seals and opens secrets that must be read back, with AES-256-GCM.
///
/// Each value is bound to the place that it belongs to (`app/table/row/field`), so a sealed text
/// that is moved to another row does not open there. The text begins with the id of its key:
/// several keys can be known at once while they are being changed.
#[derive(Clone)]
pub struct Sealer(Arc<Keys>);

struct Keys {
    current: String,
    by_id: BTreeMap<String, Aes256Gcm>,
}

impl Sealer {
    /// A sealer with that master key.
    pub fn new(master: &[u8; 32]) -> Self {
        let derive = Hkdf::<Sha256>::new(None, master);
        let mut key = Zeroizing::new([0u8; 32]);
        let mut id = [0u8; 4];
        // Both lengths are far below the limit of HKDF, so neither call can fail.
        let _ = derive.expand(b"usher sealing key 1", key.as_mut());
        let _ = derive.expand(b"usher sealing key id 1", &mut id);
        let current = format!("{:08x}", u32::from_be_bytes(id));
        let cipher = Aes256Gcm::new(&(*key).into());
        Self(Arc::new(Keys { by_id: BTreeMap::from([(current.clone(), cipher)]), current }))
    }

    /// A sealer with the master key in `text`: 32 bytes in Base64.
    pub fn from_text(text: &str) -> Result<Self, SealError> {
        let bytes = Zeroizing::new(STANDARD.decode(text.trim()).map_err(|_| SealError::NotAKey)?);
        let key: &[u8; 32] = bytes.as_slice().try_into().map_err(|_| SealError::NotAKey)?;
        Ok(Self::new(key))
    }

    /// A sealer with the master key in a file, which nobody but its owner may read.
    pub fn from_file(path: &Path) -> Result<Self, SealError> {
        use std::os::unix::fs::PermissionsExt as _;
        let name = path.display().to_string();
        let failed = |it| SealError::File(name.clone(), it);
        let mode = std::fs::metadata(path).map_err(failed)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(SealError::Open(name));
        }
        let text = Zeroizing::new(std::fs::read_to_string(path).map_err(failed)?);
        Self::from_text(&text)
    }

    /// The sealer of a data directory: its key is made on the first start, readable by the owner
    /// alone, and flushed to disk before anything is sealed with it.
    pub fn of_directory(dir: &Path, random: &Random) -> Result<Self, SealError> {
        use std::io::Write as _;
        use std::os::unix::fs::OpenOptionsExt as _;
        let path = dir.join("master.key");
        if !path.exists() {
            let key = Zeroizing::new(random.bytes::<32>());
            let text = Zeroizing::new(format!("{}\n", STANDARD.encode(key.as_slice())));
            let failed = |it| SealError::File(path.display().to_string(), it);
            let fresh = dir.join("master.key.new");
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&fresh)
                .map_err(failed)?;
            file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
            std::fs::rename(&fresh, &path).map_err(failed)?;
            std::fs::File::open(dir).and_then(|it| it.sync_all()).map_err(failed)?;
        }
        Self::from_file(&path)
    }

    /// Seals `secret` for `place`.
    pub fn seal(&self, random: &Random, place: &str, secret: &str) -> String {
        let nonce: [u8; 12] = random.bytes();
        let payload = Payload { msg: secret.as_bytes(), aad: place.as_bytes() };
        let cipher = &self.0.by_id[&self.0.current];
        // Sealing fails only for messages of many gigabytes.
        let sealed = cipher.encrypt(&Nonce::from(nonce), payload).unwrap_or_default();
        let body = [nonce.as_slice(), &sealed].concat();
        format!("{}:{}", self.0.current, STANDARD.encode(body))
    }

    /// Opens what was sealed for `place`.
    pub fn open(&self, place: &str, sealed: &str) -> Result<Token, SealError> {
        let (id, body) = sealed.split_once(':').ok_or(SealError::DoesNotOpen)?;
        let cipher = self.0.by_id.get(id).ok_or(SealError::DoesNotOpen)?;
        let body = STANDARD.decode(body).map_err(|_| SealError::DoesNotOpen)?;
        let (nonce, sealed) = body.split_at_checked(12).ok_or(SealError::DoesNotOpen)?;
        let nonce: [u8; 12] = nonce.try_into().map_err(|_| SealError::DoesNotOpen)?;
        let payload = Payload { msg: sealed, aad: place.as_bytes() };
        let plain = cipher.decrypt(&Nonce::from(nonce), payload);
        let plain = Zeroizing::new(plain.map_err(|_| SealError::DoesNotOpen)?);
        let text = std::str::from_utf8(&plain).map_err(|_| SealError::DoesNotOpen)?;
        Ok(Token(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_opens_only_in_its_place_and_unchanged() {
        let random = Random::seeded(7);
        let sealer = Sealer::new(&random.bytes());
        let sealed = sealer.seal(&random, "app/keys/1/key", "a secret");
        assert!(!sealed.contains("secret"));
        assert_eq!(sealer.open("app/keys/1/key", &sealed).unwrap().reveal(), "a secret");
        assert!(sealer.open("app/keys/2/key", &sealed).is_err(), "moved to another row");
        let other = Sealer::new(&random.bytes());
        assert!(other.open("app/keys/1/key", &sealed).is_err(), "another master key");
        let mut changed = sealed.clone().into_bytes();
        let last = changed.len() - 2;
        changed[last] = if changed[last] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(sealer.open("app/keys/1/key", &changed).is_err(), "changed");
    }

    // A secret that could be shown or written would not build.
    static_assertions::assert_not_impl_any!(Token: fmt::Display, serde::Serialize, AsRef<str>);
    static_assertions::assert_not_impl_any!(TokenHash: fmt::Display, serde::Serialize, Ord);
    static_assertions::assert_not_impl_any!(Sealer: fmt::Display, fmt::Debug, serde::Serialize);
    static_assertions::assert_not_impl_any!(crate::config::Config: fmt::Debug, serde::Serialize);
    static_assertions::assert_not_impl_any!(crate::config::Options: fmt::Debug, serde::Serialize);

    #[test]
    fn debug_tells_nothing() {
        let token = Token::from_client("abc");
        assert_eq!(format!("{token:?} {:?}", token.digest()), "[secret] [secret]");
    }
}
