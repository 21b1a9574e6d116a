//! What a developer changes in the Console, per application; it takes effect with the next request.
//!
//! A setting is a field: its type and [`Settings::check`] check it, its comment becomes its help
//! text, and `Default` is its value in a new application. Field names are the wire's. A field that a
//! newer version has written is passed over: nodes of two versions run side by side.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

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
    /// How many sessions at once where several are allowed. 0: any number.
    pub max_concurrent_logins: u32,
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
    /// Whether a login also sets a session cookie.
    pub cookie_sessions_enabled: bool,
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
            origins: vec!["*".to_owned()],
        }
    }
}

impl Default for Registration {
    fn default() -> Self {
        Self { user_registration_enabled: true, email_confirmation_required: false }
    }
}

impl Default for Login {
    fn default() -> Self {
        Self {
            login_enabled: true,
            enable_multiple_logins: false,
            max_concurrent_logins: 0,
            on_limit_reached: OnLimit::Refuse,
            logout_last_user: false,
            failed_logins_lock: 0,
            lockout_minutes: None,
            session_timeout_enabled: false,
            session_timeout: None,
            cookie_sessions_enabled: false,
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
        if login.cookie_sessions_enabled {
            return Err(Error::bad_parameter(
                "cookieSessionsEnabled cannot be switched on in this version",
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
