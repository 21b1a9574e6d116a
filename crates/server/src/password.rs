//! Which passwords are taken, at every door that sets one.

use hashes::{Password, PasswordHash, Verdict};

use crate::error::{Error, Result};
use crate::ids::Random;
use crate::settings::Profile;

/// A door through which a password comes to be set. The list is closed: whoever builds a new door
/// names it here, and the test over [`Door::ALL`] tries the policy at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    /// `POST /users/register`.
    Register,
    /// The same with a guest's object id.
    ConvertGuest,
    /// A user made through the data API.
    CreateObject,
    /// `PUT /users/{id}`, and the same through the data API.
    Update,
    /// A user made in the Console.
    ConsoleCreate,
    /// A user changed in the Console.
    ConsoleUpdate,
    /// `usher developer add`.
    DeveloperCommand,
    /// The form behind the set-up link.
    SetUp,
}

impl Door {
    /// All doors there are.
    pub const ALL: &[Self] = &[
        Self::Register,
        Self::ConvertGuest,
        Self::CreateObject,
        Self::Update,
        Self::ConsoleCreate,
        Self::ConsoleUpdate,
        Self::DeveloperCommand,
        Self::SetUp,
    ];

    /// Whether it is the password of a Console account.
    fn is_console(self) -> bool {
        match self {
            Self::Register
            | Self::ConvertGuest
            | Self::CreateObject
            | Self::Update
            | Self::ConsoleCreate
            | Self::ConsoleUpdate => false,
            Self::DeveloperCommand | Self::SetUp => true,
        }
    }
}

/// The most bytes of a password, after normalisation. Longer ones are refused, never cut.
const MOST_BYTES: usize = 1024;

/// The password to set, if the policy takes it: NIST SP 800-63B-4 for Console accounts (15 code
/// points where the password is the only factor), 8 for users, 1 in `compat`. No rule about which
/// characters it must have.
///
/// Fails with 3011 for an empty one and 8023 otherwise.
pub fn accept(door: Door, profile: Profile, text: &str) -> Result<Password> {
    let password = Password::new(text);
    let least = match (door.is_console(), profile) {
        (true, _) => 15,
        (false, Profile::Standard) => 8,
        (false, Profile::Compat) => 1,
    };
    let length = password.code_points();
    if length == 0 {
        return Err(Error::no_password());
    }
    if length < least {
        return Err(Error::refused_value(format!(
            "The password is too short. It needs at least {least} characters; several words in a row are fine"
        )));
    }
    if password.bytes_len() > MOST_BYTES {
        return Err(Error::refused_value("The password is longer than 1024 bytes. Shorten it"));
    }
    Ok(password)
}

/// Hashes a password that was accepted.
pub async fn hash(
    pool: &hashes::Pool,
    random: &Random,
    password: Password,
) -> Result<PasswordHash> {
    Ok(pool.hash(hashes::Lane::Interactive, password, random.bytes()).await?)
}

/// A new hash of a password that has just proved right, if `verdict` says that the stored one is
/// weaker than those we make now (ASVS 5.0, 11.2.2). It waits behind the people who log in, and when
/// there are too many of them there is none: the next login will do.
pub async fn renewed(
    pool: &hashes::Pool,
    random: &Random,
    text: &str,
    verdict: Verdict,
) -> Option<PasswordHash> {
    if verdict != (Verdict::Match { renew: true }) {
        return None;
    }
    pool.hash(hashes::Lane::Bulk, Password::new(text), random.bytes()).await.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_counts_code_points_and_refuses_what_it_would_have_to_cut() {
        let console = [Door::DeveloperCommand, Door::SetUp];
        for (text, standard, compat, admin) in [
            ("", 3011, 3011, 3011),
            ("a", 8023, 0, 8023),
            ("1234567", 8023, 0, 8023),
            ("correct horse", 0, 0, 8023),
            ("ひらがなひらがな", 0, 0, 8023),
            ("four words in a row", 0, 0, 0),
            (&"ä".repeat(512), 0, 0, 0),
            (&"ä".repeat(513), 8023, 8023, 8023),
            ("        ", 0, 0, 8023), // blanks count
        ] {
            let code = |door, profile| accept(door, profile, text).err().map_or(0, |it| it.code);
            for door in Door::ALL {
                let (safe, loose) =
                    if console.contains(door) { (admin, admin) } else { (standard, compat) };
                assert_eq!(code(*door, Profile::Standard), safe, "{door:?} {text}");
                assert_eq!(code(*door, Profile::Compat), loose, "{door:?} compat {text}");
            }
        }
    }
}
