//! Every failure that a client can see: one constructor per refusal, with status, code and words.
//!
//! Codes below 9100 are the wire's own (users-api 8, data-api 11); ours begin at 20000.

use std::fmt;

use http::StatusCode;
use serde_json::{Map, Value, json};

/// What most functions return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A refusal or a failure, ready to be sent.
///
/// The body is `{"code": …, "message": "…", "errorData": {…}}`. The cause of an unexpected error
/// goes to the log alone; the client gets the id of the request to quote (ASVS 5.0, 16.5.1).
pub struct Error {
    /// The HTTP status.
    pub status: StatusCode,
    /// The code that clients compare; 0 where the wire knows none.
    pub code: u32,
    /// What happened, and what to do.
    pub message: String,
    /// More, for programs.
    pub data: Option<Box<Map<String, Value>>>,
    /// Seconds after which another try makes sense; becomes `Retry-After`.
    pub retry_after: Option<u32>,
    /// What went wrong inside.
    pub cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

#[derive(Debug, thiserror::Error)]
#[error("a handler panicked")]
struct Panicked;

/// `constructors!` writes one constructor per line: documentation, name, status, code, words. The
/// list of all of them is [`REFERENCE`].
macro_rules! refusals {
    ($($(#[doc = $doc:literal])+ $name:ident: $status:ident, $code:literal, $message:literal;)+) => {
        impl Error {
            $($(#[doc = $doc])+
            pub fn $name() -> Self {
                Self::client(StatusCode::$status, $code, $message)
            })+
        }

        /// Every fixed refusal: name, status, code, message, and when it happens.
        pub const REFERENCE: &[(&str, StatusCode, u32, &str, &str)] = &[
            $((stringify!($name), StatusCode::$status, $code, $message, concat!($($doc),+)),)+
        ];
    };
}

refusals! {
    /// Unknown application id, API key or domain, or a key of another application.
    wrong_app: BAD_REQUEST, 2002, "Version is disabled or provided wrong application info (application id or secret key)";
    /// A permission rule refuses the operation on users.
    denied: BAD_REQUEST, 2000, "You do not have permission for this operation. Log in as a user who has, or ask the owner of the application";
    /// An operation that only the server-code key may do.
    needs_server_key: BAD_REQUEST, 2011, "Operation is allowed only with the server-code API key";
    /// A login by object id with a client key.
    object_id_login: BAD_REQUEST, 2014, "Login by object id is allowed only for Code Runner API key";
    /// A second login where the application turns the last arriving away.
    already_logged_in: BAD_REQUEST, 3002, "The user is already logged in, and the application does not allow a second login. Log out there first";
    /// Unknown identity or wrong password; the client never learns which (ASVS 5.0, 6.3.8).
    wrong_login: UNAUTHORIZED, 3003, "Invalid login or password";
    /// A login without identity or password.
    login_incomplete: BAD_REQUEST, 3006, "Login and password must both be given and not be empty";
    /// Registration is switched off.
    registration_off: FORBIDDEN, 3009, "User registration is denied for this version of application";
    /// A registration without a usable password.
    no_password: BAD_REQUEST, 3011, "The password is missing. Send property password with a text that is not empty";
    /// An identity that another user has, in an update.
    identity_taken_on_update: BAD_REQUEST, 3018, "Another user has this identity already. Choose a different one";
    /// Recovery for an identity that nobody has (compat alone).
    no_such_identity: BAD_REQUEST, 3020, "Unable to find user with the specified identity";
    /// An operation that needs a logged-in user.
    not_logged_in: BAD_REQUEST, 3028, "The operation needs a logged-in user. Send the user-token header";
    /// A change of another user, or a guest's conversion without the guest's own token.
    not_your_user: BAD_REQUEST, 3029, "You are not allowed to change this user";
    /// An update of a user who does not exist.
    no_such_user_to_update: BAD_REQUEST, 3030, "There is no user with this id";
    /// An identity that another user has, at registration.
    user_exists: CONFLICT, 3033, "A user with this identity already exists";
    /// Logins are switched off for the application.
    login_off: BAD_REQUEST, 3034, "Logins are switched off for this application";
    /// Too many wrong passwords in a row, where the application locks accounts.
    locked: BAD_REQUEST, 3036, "The account is locked after too many failed logins. Try again later or recover the password";
    /// A property with the name `id`.
    property_id: BAD_REQUEST, 3039, "A property must not be named id. Use another name";
    /// An address that is none.
    not_an_address: BAD_REQUEST, 3040, "The value of property email is not an e-mail address";
    /// As many sessions as the application allows.
    too_many_logins: BAD_REQUEST, 3044, "The user has as many sessions as the application allows. Log out elsewhere first";
    /// A change of status with a client key.
    status_needs_server_key: BAD_REQUEST, 3054, "Operation allowed only for BL logic.";
    /// No user with that object id, at a login by id.
    no_such_user_id: BAD_REQUEST, 3057, "There is no user with this id";
    /// A login before the address was confirmed.
    not_confirmed: BAD_REQUEST, 3087, "User cannot login till his registration is not confirmed via email";
    /// A disabled account, at login and for every call with its token.
    disabled: BAD_REQUEST, 3090, "The account is disabled. Ask the owner of the application";
    /// Mail cannot be sent: the server has no mail settings.
    no_mail: BAD_REQUEST, 5050, "The mail cannot be sent: no mail server is configured";
    /// A wrong login to the Console.
    wrong_console_login: UNAUTHORIZED, 9005, "Wrong e-mail address or password";
    /// A Console call without a live session.
    no_console_session: UNAUTHORIZED, 9007, "The Console session is missing or has ended. Log in again";
    /// A Console call about an application that the developer has no part in, or that is not there.
    not_your_app: BAD_REQUEST, 2001, "There is no such application, or it is not yours";
    /// Too many requests.
    too_many_requests: TOO_MANY_REQUESTS, 999, "Too many requests. Wait a little and try again";
    /// A path that no route has.
    no_such_path: NOT_FOUND, 20002, "There is nothing at this path. Check its spelling";
    /// A method that the path does not take.
    no_such_method: METHOD_NOT_ALLOWED, 20003, "This path does not take this method";
    /// A body over the limit.
    body_too_large: PAYLOAD_TOO_LARGE, 20005, "The body is larger than this path takes. Send less";
    /// A body that is not what its headers say or that did not arrive whole.
    body_broken: BAD_REQUEST, 20006, "The body could not be read to its end. Send it again";
    /// A body that is compressed.
    body_compressed: UNSUPPORTED_MEDIA_TYPE, 20007, "Compressed bodies are not taken. Send the body as it is";
    /// A request that took too long.
    too_slow: SERVICE_UNAVAILABLE, 20008, "The request took too long and was ended. Try again";
    /// A path, or a text in it, that cannot be decoded.
    bad_path: BAD_REQUEST, 20009, "The path or query is not valid percent-encoded UTF-8, or contains a control character";
    /// A path or query over the limit.
    uri_too_long: URI_TOO_LONG, 20010, "The address is too long";
    /// A head or a body that the client sends too slowly.
    client_too_slow: REQUEST_TIMEOUT, 20030, "The request did not arrive in time. Send it again";
    /// A request whose host is missing, odd or given twice, or that says two things at once.
    bad_head: BAD_REQUEST, 20031, "The head of the request is not valid HTTP/1.1: exactly one Host, and one that the target agrees with";
    /// A set-up link that is unknown, used or too old.
    no_such_setup: NOT_FOUND, 20011, "This set-up link is used, too old or wrong. Restart the server for a new one while there is no developer yet";
    /// A second developer with the same address.
    developer_exists: CONFLICT, 20012, "A developer with this e-mail address already exists";
    /// An application name that the developer uses already.
    app_exists: BAD_REQUEST, 20013, "You have an application of this name already. Choose another";
    /// A domain that is mapped already.
    domain_taken: BAD_REQUEST, 20014, "This domain belongs to an application already";
}

impl Error {
    /// A refusal with `code` and words of its own.
    pub fn client(status: StatusCode, code: u32, message: impl Into<String>) -> Self {
        Self { status, code, message: message.into(), data: None, retry_after: None, cause: None }
    }

    fn bad(code: u32, message: impl Into<String>) -> Self {
        Self::client(StatusCode::BAD_REQUEST, code, message)
    }

    /// 500: a failure that the client can do nothing about.
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        let message = "Internal error. Give the operator the requestId of this answer";
        let status = StatusCode::INTERNAL_SERVER_ERROR;
        Self { cause: Some(cause.into()), ..Self::client(status, 20000, message) }
    }

    /// 500: a panic that was caught (ASVS 5.0, 16.5.4).
    pub fn panicked() -> Self {
        Self::internal(Panicked)
    }

    /// Whether a panic is behind it, in a handler or in a unit of work.
    pub fn is_panic(&self) -> bool {
        let Some(cause) = &self.cause else { return false };
        let stored = cause.downcast_ref::<engine::Error>();
        cause.is::<Panicked>() || matches!(stored, Some(engine::Error::Panicked))
    }

    /// 503: the server has more to do than it can in time, or its database is away.
    pub fn overloaded(retry_after: u32) -> Self {
        let message = "The server is busy. Try again in a moment";
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self { retry_after: Some(retry_after), ..Self::client(status, 20001, message) }
    }

    /// 1000: no object has that id.
    pub fn no_such_object(id: &str) -> Self {
        Self::bad(1000, format!("Entity with ID {id} not found"))
    }

    /// 1009: no table has that name.
    pub fn no_such_table(name: &str) -> Self {
        let message = format!(
            "Table not found by name '{name}'. Check its spelling and case, or create it in the Console"
        );
        Self::bad(1009, message)
    }

    /// 1011 to 1015: the operation on a table of the application is not permitted.
    pub fn denied_on_table(code: u32, operation: &str, table: &str) -> Self {
        Self::bad(
            code,
            format!("You do not have permission to {operation} objects of table {table}"),
        )
    }

    /// 1007: a value that does not fit its column.
    pub fn wrong_type(property: &str) -> Self {
        let message = format!(
            "Unable to save object - invalid data type for properties - {property}. \
             You can change the property type in developer console."
        );
        Self::bad(1007, message)
    }

    /// 1017: a condition that cannot be read or is not served yet.
    pub fn where_clause(message: impl Into<String>) -> Self {
        Self::bad(1017, message)
    }

    /// 1005, 1004 or 1025: a page that cannot be had.
    pub fn page(code: u32, message: &str) -> Self {
        Self::bad(code, message)
    }

    /// 1006: a column that the table does not have, in `sortBy` or `props`.
    pub fn no_such_column(column: &str, table: &str) -> Self {
        Self::bad(1006, format!("Column '{column}' does not exist in table '{table}'"))
    }

    /// 1148: an operation that users do not allow.
    pub fn not_on_users(message: &str) -> Self {
        Self::bad(1148, message)
    }

    /// 1155: a value that another row has in a unique column.
    pub fn not_unique() -> Self {
        Self::bad(1155, "Another object has this value in a property that must be unique")
    }

    /// 3012: a required property is missing.
    pub fn required(property: &str) -> Self {
        Self::bad(3012, format!("The required property {property} is missing"))
    }

    /// 3013: the identity is missing.
    pub fn no_identity(property: &str) -> Self {
        Self::bad(3013, format!("The property {property}, by which users log in, is missing"))
    }

    /// 3045: a required property or the identity is empty.
    pub fn empty(property: &str) -> Self {
        Self::bad(3045, format!("The property {property} must not be empty"))
    }

    /// 3038: a parameter that is missing or has a value that it cannot have.
    pub fn bad_parameter(message: impl Into<String>) -> Self {
        Self::bad(3038, message)
    }

    /// 3064: a token that is unknown, ended or expired. The text repeats the token as it was sent,
    /// as clients compare it; it is dead, so nothing is given away.
    pub fn dead_token(token: &str) -> Self {
        let message =
            format!("Not existing user token - {token}. Relogin user to update your user token");
        Self::bad(3064, message)
    }

    /// 8023: a value that the rules of its property or of passwords refuse.
    pub fn refused_value(message: impl Into<String>) -> Self {
        Self::bad(8023, message)
    }

    /// 20004: a body that is not the JSON that the path takes.
    pub fn bad_json(message: impl fmt::Display) -> Self {
        Self::bad(20004, format!("The body is not valid JSON: {message}"))
    }

    /// 507: the disk is full.
    fn no_space() -> Self {
        let message = "The server has no disk space left for writing. Tell the operator";
        let status = StatusCode::INSUFFICIENT_STORAGE;
        Self { retry_after: Some(10), ..Self::client(status, 20015, message) }
    }

    /// Whether the connection cannot be used for another request: what is left of this one has not
    /// been read, or cannot be told from the next (RFC 9112 section 9.3).
    pub fn ends_connection(&self) -> bool {
        matches!(
            self.status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::PAYLOAD_TOO_LARGE | StatusCode::URI_TOO_LONG
        ) || matches!(self.code, 20006 | 20007 | 20031)
    }

    /// The body that goes over the wire, with the id of the request where it helps the operator.
    pub fn body(&self, request: &str) -> Value {
        let mut data = self.data.as_deref().cloned().unwrap_or_default();
        if self.status.is_server_error() {
            data.insert("requestId".to_owned(), json!(request));
        }
        json!({ "code": self.code, "message": self.message, "errorData": data })
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} {} {}", self.status.as_u16(), self.code, self.message)?;
        self.cause.as_ref().map_or(Ok(()), |it| write!(out, " ({it})"))
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)?;
        self.cause.as_ref().map_or(Ok(()), |it| write!(out, ": {it}"))
    }
}

impl From<engine::Error> for Error {
    fn from(cause: engine::Error) -> Self {
        match cause {
            engine::Error::Unique { .. } => Self::not_unique(),
            engine::Error::NoSpace => Self { cause: Some(cause.into()), ..Self::no_space() },
            engine::Error::Overloaded
            | engine::Error::Deadline
            | engine::Error::Unavailable(_)
            | engine::Error::OutcomeUnknown(_)
            | engine::Error::Closed => Self { cause: Some(cause.into()), ..Self::overloaded(1) },
            other => Self::internal(other),
        }
    }
}

impl From<hashes::Error> for Error {
    fn from(cause: hashes::Error) -> Self {
        match cause {
            hashes::Error::Overloaded { retry_after } => {
                Self::overloaded(u32::try_from(retry_after.as_secs()).unwrap_or(u32::MAX).max(1))
            }
            hashes::Error::Stopped => Self::overloaded(1),
            hashes::Error::Malformed => Self::internal("a stored password hash cannot be read"),
        }
    }
}

impl From<crate::secret::SealError> for Error {
    fn from(cause: crate::secret::SealError) -> Self {
        Self::internal(cause)
    }
}

impl From<serde_json::Error> for Error {
    fn from(cause: serde_json::Error) -> Self {
        Self::internal(cause)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_unique_but_where_the_wire_shares_them() {
        let mut seen = BTreeSet::new();
        for (name, _, code, message, when) in REFERENCE {
            assert!(seen.insert(code), "{name} uses {code} again");
            assert!(!message.is_empty() && !when.trim().is_empty(), "{name} explains itself");
        }
    }
}
