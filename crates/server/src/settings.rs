//! What a developer changes in the Console, per application; it takes effect with the next request.
//!
//! A setting is a field: its type and [`Settings::check`] check it, its comment becomes its help
//! text, and `Default` is its value in a new application. Field names are the wire's. A field that a
//! newer version has written is passed over: nodes of two versions run side by side.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::buckets::Rate;
use crate::clock::Seconds;
use crate::error::{Error, Result};

/// How strict an application is (security 1). `compat` relaxes exactly a closed list of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Safe by default: users see and change their own record only.
    Standard,
    /// As the original service: for apps and test suites that were written for it.
    Compat,
}

impl Profile {
    /// The word that stands in the store and on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "standard",
            Self::Compat => "compat",
        }
    }

    /// The profile of that name.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Standard, Self::Compat].into_iter().find(|it| it.as_str() == text)
    }
}

/// The settings of one application.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Settings {
    /// Who may register, and how.
    pub registration: Registration,
    /// How users come in, and for how long.
    pub login: Login,
    /// How tables grow.
    pub data: Data,
    /// What passwords must be, and what a new one does.
    pub passwords: Passwords,
    /// How many calls it takes.
    pub calls: Calls,
    /// Origins whose pages may call the API: `*` for any, or `scheme://host[:port]`.
    pub origins: Vec<String>,
}

/// `GET`, `PUT …/console/userregistration`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Registration {
    /// Whether strangers may register, and guests and social users come to be.
    pub user_registration_enabled: bool,
    /// Whether a new user must follow a mailed link before the first login.
    pub email_confirmation_required: bool,
    /// How many users and guests may come to be from one address in an hour, a quarter of them at
    /// once. Absent: 120, in profile compat 20000, or what the operator has set.
    pub registrations_per_hour: Option<u32>,
}

/// `GET`, `POST …/console/userlogin`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
#[expect(clippy::struct_excessive_bools, reason = "the wire's own switches")]
pub struct Login {
    /// Whether users may log in at all.
    pub login_enabled: bool,
    /// Whether a user may have several sessions at once.
    pub enable_multiple_logins: bool,
    /// How many sessions at once where several are allowed. 0: as many as a user may want; beyond
    /// 1000 the oldest end.
    pub max_concurrent_logins: u32,
    /// The same for users with a role, by the role's name, in place of `maxConcurrentLogins`; of
    /// several the most generous counts. Today there are `AuthenticatedUser` and `GuestUser`.
    pub max_concurrent_logins_by_role: BTreeMap<String, u32>,
    /// What happens at the limit: the new login is refused, or the oldest session ends.
    pub on_limit_reached: OnLimit,
    /// Where one session is allowed: whether the last arriving login is turned away. Otherwise it
    /// ends the session that is there.
    pub logout_last_user: bool,
    /// How many wrong passwords in a row lock an account. 0: it is never locked. Anybody who knows
    /// an identity can lock its owner out, so think twice.
    pub failed_logins_lock: u32,
    /// How many minutes a lock lasts. Absent or 0: until the password is recovered or a developer
    /// opens it.
    pub lockout_minutes: Option<u32>,
    /// Whether `sessionTimeout` counts; otherwise it is an hour.
    pub session_timeout_enabled: bool,
    /// How many seconds a session lives without a request, 1 to 2592000.
    pub session_timeout: Option<Seconds>,
    /// Whether a login also sets a session cookie. What changes something with it alone must come
    /// from a page whose origin is listed by name, or is the server's own.
    pub cookie_sessions_enabled: bool,
    /// How many wrong passwords for one account from one address go without a pause; each one more
    /// doubles it, from a second to 15 minutes. Absent: 10, or what the operator has set.
    pub wrong_passwords_per_place: Option<u32>,
    /// How many wrong passwords in 10 minutes from one address, over all accounts. Absent: 50, or
    /// what the operator has set.
    pub wrong_passwords_per_source: Option<u32>,
    /// How many wrong passwords in a row for one account, from everywhere. Then only addresses and
    /// devices may try that the account has been used from before. Absent: 100, or what the operator
    /// has set.
    pub wrong_passwords_per_account: Option<u32>,
}

/// The limits on guessing and flooding (security section 4): what is counted, by what key, and how
/// many. An application may set each, else the operator may; never to "none".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Wrong passwords, by account and source; beyond them one after each growing pause.
    Place,
    /// Wrong passwords in 10 minutes, by source, over all accounts.
    Source,
    /// Wrong passwords in a row, by account, over all sources; beyond them only those go on from
    /// which the account has been used before.
    Account,
    /// Registrations and guests in an hour, by source; a quarter of them at once.
    Registrations,
}

/// One for each [`Limit`], where somebody has set it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// [`Limit::Place`].
    pub place: Option<u32>,
    /// [`Limit::Source`].
    pub source: Option<u32>,
    /// [`Limit::Account`].
    pub account: Option<u32>,
    /// [`Limit::Registrations`].
    pub registrations: Option<u32>,
}

/// The most that any of them may be set to.
pub const MOST: u32 = 10_000_000;

impl Limit {
    /// The table: the limit, and its values in profile `standard` and `compat`.
    pub const DEFAULTS: [(Self, u32, u32); 4] = [
        (Self::Place, 10, 10),
        (Self::Source, 50, 50),
        (Self::Account, 100, 100),
        // Suites for the original register thousands of users from one address (C-9).
        (Self::Registrations, 120, 20_000),
    ];

    /// What holds: what the application says, or else the operator, or else the table.
    pub fn value(self, operator: &Limits, settings: &Settings, profile: Profile) -> u32 {
        let (login, registration) = (&settings.login, &settings.registration);
        let (own, operators) = match self {
            Self::Place => (login.wrong_passwords_per_place, operator.place),
            Self::Source => (login.wrong_passwords_per_source, operator.source),
            Self::Account => (login.wrong_passwords_per_account, operator.account),
            Self::Registrations => (registration.registrations_per_hour, operator.registrations),
        };
        let row = Self::DEFAULTS.iter().find(|it| it.0 == self);
        let usual = row.map_or(1, |it| if profile == Profile::Compat { it.2 } else { it.1 });
        own.or(operators).unwrap_or(usual).clamp(1, MOST)
    }

    /// How fast one of those limits fills up that are about sources.
    pub fn rate(self, many: u32) -> Rate {
        match self {
            Self::Registrations => Rate::new(many / 4, many, Seconds(3600)),
            _ => Rate::new(many, many, Seconds(600)),
        }
    }
}

/// What happens to a login beyond `maxConcurrentLogins`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum OnLimit {
    /// It is refused with code 3044.
    Refuse,
    /// It succeeds, and the user's oldest session ends.
    EndOldest,
}

/// `GET`, `PUT …/console/data/config`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase")]
pub struct Data {
    /// Whether a property that a table lacks becomes a column when somebody sends it.
    pub dynamic_schema: bool,
    /// Whether new views show `objectId` first.
    pub include_object_id_by_default: bool,
}

/// `GET`, `PUT …/console/passwords`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Passwords {
    /// What a new password of a user must be. `standard`: 8 characters and none that everybody
    /// knows; with profile `compat`, 1 character. `nist`: 15 characters and none that everybody
    /// knows, with either profile.
    pub password_policy: PasswordPolicy,
    /// The fewest characters, where that is more than the policy asks; at most 128.
    pub minimum_length: u32,
    /// For how many seconds after a login a user may set a new password or identity, 1 to 2592000.
    pub recent_login: Seconds,
    /// Whether the other sessions of a user live on when the password changes.
    pub keep_sessions: bool,
}

/// `GET`, `PUT …/console/limits`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, rename_all = "camelCase", deny_unknown_fields)]
pub struct Calls {
    /// How many calls of the API in a minute one address may make, with any key but that of server
    /// code. Absent: any number, as far as the server can.
    pub calls_per_minute_per_source: Option<u32>,
    /// How many calls of the API in a minute the application takes from all addresses together, with
    /// any key. Absent: any number, as far as the server can.
    pub calls_per_minute: Option<u32>,
}

/// What a new password must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum PasswordPolicy {
    /// As the profile has it.
    Standard,
    /// As NIST SP 800-63B-4 has it where the password is the only factor.
    Nist,
}

impl Default for Passwords {
    fn default() -> Self {
        let (password_policy, recent_login) = (PasswordPolicy::Standard, Seconds(300));
        Self { password_policy, minimum_length: 0, recent_login, keep_sessions: false }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            registration: Registration::default(),
            login: Login::default(),
            data: Data::default(),
            passwords: Passwords::default(),
            calls: Calls::default(),
            origins: vec!["*".to_owned()],
        }
    }
}

impl Default for Registration {
    fn default() -> Self {
        Self {
            user_registration_enabled: true,
            email_confirmation_required: false,
            registrations_per_hour: None,
        }
    }
}

impl Default for Login {
    fn default() -> Self {
        Self {
            login_enabled: true,
            enable_multiple_logins: false,
            max_concurrent_logins: 0,
            max_concurrent_logins_by_role: BTreeMap::new(),
            on_limit_reached: OnLimit::Refuse,
            logout_last_user: false,
            failed_logins_lock: 0,
            lockout_minutes: None,
            session_timeout_enabled: false,
            session_timeout: None,
            cookie_sessions_enabled: false,
            wrong_passwords_per_place: None,
            wrong_passwords_per_source: None,
            wrong_passwords_per_account: None,
        }
    }
}

impl Default for Data {
    fn default() -> Self {
        Self { dynamic_schema: true, include_object_id_by_default: false }
    }
}

/// How long a session lives without a request unless the application says otherwise.
pub const SESSION_TIMEOUT: Seconds = Seconds(3600);
/// The longest that it may be set to: 30 days.
pub const LONGEST_TIMEOUT: Seconds = Seconds(2_592_000);
/// How old a session may become however much it is used (ASVS 5.0, 7.3.2); `compat` has no limit.
pub const SESSION_AGE: Seconds = Seconds(30 * 24 * 3600);

impl Login {
    /// How many sessions at once a user with these roles may have; 0: any number.
    pub fn most_logins(&self, roles: &[&str]) -> u32 {
        let own = roles.iter().filter_map(|it| self.max_concurrent_logins_by_role.get(*it));
        let own = own.copied().max_by_key(|it| if *it == 0 { u32::MAX } else { *it });
        own.unwrap_or(self.max_concurrent_logins)
    }
}

impl Settings {
    /// The settings of a new application of that profile.
    pub fn of(profile: Profile) -> Self {
        let dynamic_schema = profile == Profile::Compat;
        Self { data: Data { dynamic_schema, ..Data::default() }, ..Self::default() }
    }

    /// How long a session lives without a request.
    pub fn session_timeout(&self) -> Seconds {
        let own = self.login.session_timeout.filter(|_| self.login.session_timeout_enabled);
        own.unwrap_or(SESSION_TIMEOUT)
    }

    /// Refuses values that make no sense, with 3038 and the name of the setting.
    pub fn check(&self) -> Result<()> {
        let login = &self.login;
        if login.session_timeout.is_some_and(|it| it.0 == 0 || it > LONGEST_TIMEOUT) {
            return Err(Error::bad_parameter(
                "sessionTimeout must be a number of seconds from 1 to 2592000",
            ));
        }
        if login.session_timeout_enabled && login.session_timeout.is_none() {
            return Err(Error::bad_parameter(
                "sessionTimeoutEnabled needs sessionTimeout, a number of seconds",
            ));
        }
        let by_role = &login.max_concurrent_logins_by_role;
        if by_role.len() > 1000 || by_role.keys().any(|it| it.trim().is_empty()) {
            return Err(Error::bad_parameter(
                "maxConcurrentLoginsByRole must have the names of roles, 1000 at most, and numbers",
            ));
        }
        let passwords = &self.passwords;
        if passwords.minimum_length > 128 {
            return Err(Error::bad_parameter("minimumLength must be 128 at most"));
        }
        if passwords.recent_login.0 == 0 || passwords.recent_login > LONGEST_TIMEOUT {
            return Err(Error::bad_parameter(
                "recentLogin must be a number of seconds from 1 to 2592000",
            ));
        }
        for (name, value) in [
            ("registrationsPerHour", self.registration.registrations_per_hour),
            ("wrongPasswordsPerPlace", login.wrong_passwords_per_place),
            ("wrongPasswordsPerSource", login.wrong_passwords_per_source),
            ("wrongPasswordsPerAccount", login.wrong_passwords_per_account),
            ("callsPerMinutePerSource", self.calls.calls_per_minute_per_source),
            ("callsPerMinute", self.calls.calls_per_minute),
        ] {
            if value.is_some_and(|it| it == 0 || it > MOST) {
                let message = format!("{name} must be a number from 1 to {MOST}, or absent");
                return Err(Error::bad_parameter(message));
            }
        }
        let origin = |it: &String| it == "*" || (it.contains("://") && !it.ends_with('/'));
        match self.origins.iter().find(|it| !origin(it)) {
            None => Ok(()),
            Some(odd) => Err(Error::bad_parameter(format!(
                "{odd} is not an origin. Write * or scheme://host, with the port if it is not the usual one"
            ))),
        }
    }
}

/// `part` with the members that `sent` has too: unknown ones are ignored, missing ones keep their
/// value, so what a client has read is always good to be written back (users-api 6.4).
///
/// Fails with 3038 for a value of the wrong type, and names it.
pub fn merge<T: Serialize + for<'de> Deserialize<'de>>(
    part: &T,
    sent: &Map<String, Value>,
) -> Result<T> {
    let Value::Object(mut merged) = serde_json::to_value(part)? else {
        return Err(Error::internal("settings are objects"));
    };
    for (name, value) in sent {
        if let Some(old) = merged.get(name).cloned() {
            merged.insert(name.clone(), value.clone());
            if serde_json::from_value::<T>(Value::Object(merged.clone())).is_err() {
                let message = format!("{name} cannot be {value}. Its value now is {old}");
                return Err(Error::bad_parameter(message));
            }
        }
    }
    Ok(serde_json::from_value(Value::Object(merged))?)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_was_read_can_be_written_back() {
        let login = Login { failed_logins_lock: 3, ..Login::default() };
        let Value::Object(read) = serde_json::to_value(&login).unwrap() else { unreachable!() };
        assert_eq!(merge(&Login::default(), &read).unwrap(), login);
    }

    #[test]
    fn unknown_members_are_ignored_and_wrong_types_are_named() {
        let sent = |it: Value| it.as_object().cloned().unwrap();
        let merged = merge(&Login::default(), &sent(json!({ "shoe": 44 }))).unwrap();
        assert_eq!(merged, Login::default());
        let refused = merge(&Login::default(), &sent(json!({ "maxConcurrentLogins": "2" })));
        assert!(refused.unwrap_err().message.contains("maxConcurrentLogins"));
    }
}
