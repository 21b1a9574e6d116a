//! Which passwords are taken, at every door that sets one.

pub mod blocklist;
mod simple;

use hashes::{Password, PasswordHash, Verdict};

use crate::error::{Error, Result};
use crate::ids::Random;
use crate::settings::{PasswordPolicy, Passwords, Profile};

pub use blocklist::Blocklist;

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
    /// `usher developer add` and `usher developer reset`.
    DeveloperCommand,
    /// The form behind the set-up link.
    SetUp,
    /// `PUT /console/home/myaccount`.
    ConsoleAccount,
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
        Self::ConsoleAccount,
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
            Self::DeveloperCommand | Self::SetUp | Self::ConsoleAccount => true,
        }
    }
}

/// The most bytes of a password, after normalisation. Longer ones are refused, never cut.
const MOST_BYTES: usize = 1024;

/// What a new password is measured by, beside its door.
#[derive(Clone, Copy)]
pub struct Measure<'a> {
    /// How strict the application is; Console accounts have `Standard`.
    pub profile: Profile,
    /// What the application asks; Console accounts have their own rule.
    pub rules: &'a Passwords,
    /// The passwords that everybody tries first.
    pub list: &'a Blocklist,
    /// The name of the application.
    pub app: &'a str,
    /// What the user logs in with, if anything.
    pub identity: &'a str,
    /// The user's name, if any.
    pub name: &'a str,
}

impl Measure<'_> {
    /// The fewest characters, and whether a password may be one that is easily guessed.
    fn asks(&self, door: Door) -> (usize, bool) {
        let (least, guessable) = match (door.is_console(), self.rules.password_policy) {
            (true, _) => return (NIST, false),
            (false, PasswordPolicy::Nist) => (NIST, false),
            (false, PasswordPolicy::Standard) if self.profile == Profile::Compat => (1, true),
            (false, PasswordPolicy::Standard) => (blocklist::LEAST, false),
        };
        (least.max(self.rules.minimum_length as usize), guessable)
    }
}

/// The fewest characters where the password is the only factor (NIST SP 800-63B-4).
const NIST: usize = 15;

/// The password to set, if the policy takes it: long enough, and none of those that are guessed
/// first (security PW-4, PW-6). No rule about which characters it must have. In `compat` any that
/// is not empty will do, unless the developer asks for more.
///
/// Fails with 3011 for an empty one and 8023 otherwise; the text says what is wrong with it.
pub fn accept(door: Door, measure: &Measure<'_>, text: &str) -> Result<Password> {
    let password = Password::new(text);
    let (least, guessable) = measure.asks(door);
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
    match easy(measure, text) {
        Some(why) if !guessable => Err(Error::refused_value(format!(
            "The password {why}. Choose another; several words in a row are fine"
        ))),
        _ => Ok(password),
    }
}

/// Why a password is guessed before others, if it is.
fn easy(measure: &Measure<'_>, text: &str) -> Option<&'static str> {
    let text = blocklist::fold(text);
    if simple::is_runs(&text) {
        return Some("is a simple run of characters");
    }
    let unit = match simple::repeated(&text) {
        // What would do alone does twice over.
        Some(unit) if unit.chars().count() >= blocklist::LEAST => unit,
        Some(_) => return Some("repeats a few characters"),
        None => &text,
    };
    for (known, why) in [
        (measure.identity, "is too much like what you log in with"),
        (measure.name, "is too much like your name"),
        (measure.app, "is too much like the name of the application"),
    ] {
        if simple::is_like(unit, &blocklist::fold(known)) {
            return Some(why);
        }
    }
    measure.list.contains(unit).then_some("is one of those that everybody tries first")
}

/// Hashes a password that was accepted.
pub async fn hash(
    pool: &hashes::Pool,
    lane: hashes::Lane,
    random: &Random,
    password: Password,
) -> Result<PasswordHash> {
    Ok(pool.hash(lane, password, random.bytes()).await?)
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

    const CONSOLE: [Door; 3] = [Door::DeveloperCommand, Door::SetUp, Door::ConsoleAccount];

    fn code(door: Door, profile: Profile, rules: &Passwords, text: &str) -> u32 {
        let list = Blocklist::default();
        let (app, identity, name) = ("Corner Shop", "ann.lee@example.com", "Ann Lee");
        let measure = Measure { profile, rules, list: &list, app, identity, name };
        accept(door, &measure, text).err().map_or(0, |it| it.code)
    }

    #[test]
    fn the_policy_counts_code_points_and_refuses_what_it_would_have_to_cut() {
        let varied = |count: u32| -> String {
            (0..count).filter_map(|it| char::from_u32(0x4e00 + it * 7)).collect()
        };
        for (text, standard, compat, strict) in [
            ("", 3011, 3011, 3011),
            ("a", 8023, 0, 8023),
            ("kd8fj2w", 8023, 0, 8023),
            ("correct horse", 0, 0, 8023),
            ("ひらがなカタカナ", 0, 0, 8023),
            ("four words in a row", 0, 0, 0),
            (&varied(256), 0, 0, 0),
            (&varied(341), 0, 0, 0),
            (&varied(342), 8023, 8023, 8023),
            ("correct horse ", 0, 0, 8023), // blanks count
        ] {
            for door in Door::ALL {
                let usual = Passwords::default();
                let nist =
                    Passwords { password_policy: PasswordPolicy::Nist, ..Passwords::default() };
                let console = CONSOLE.contains(door);
                for (profile, rules, expected) in [
                    (Profile::Standard, &usual, if console { strict } else { standard }),
                    (Profile::Compat, &usual, if console { strict } else { compat }),
                    (Profile::Standard, &nist, strict),
                    (Profile::Compat, &nist, strict),
                ] {
                    let given = code(*door, profile, rules, text);
                    assert_eq!(given, expected, "{door:?} {profile:?} {rules:?} {text}");
                }
            }
        }
    }

    #[test]
    fn a_developer_may_ask_for_more_but_not_for_less() {
        for (minimum_length, policy, text, standard, compat) in [
            (10, PasswordPolicy::Standard, "kd8fj2wxq", 8023, 8023),
            (10, PasswordPolicy::Standard, "kd8fj2wxqy", 0, 0),
            (3, PasswordPolicy::Standard, "kd8fj2w", 8023, 0),
            (3, PasswordPolicy::Nist, "kd8fj2wxqyzm42", 8023, 8023),
            (10, PasswordPolicy::Standard, "basketball", 8023, 0), // the length alone is asked there
        ] {
            let rules =
                Passwords { minimum_length, password_policy: policy, ..Passwords::default() };
            for (profile, expected) in [(Profile::Standard, standard), (Profile::Compat, compat)] {
                let given = code(Door::Register, profile, &rules, text);
                assert_eq!(given, expected, "{profile:?} {rules:?} {text}");
            }
        }
    }
}
