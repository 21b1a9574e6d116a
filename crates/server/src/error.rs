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
    /// What went wrong inside. Private, so that only this file can make an `Error`.
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

#[derive(Debug, thiserror::Error)]
#[error("a handler panicked")]
struct Panicked;

/// `refusals!` writes one constructor per line: documentation, name, what it is told, status, code,
/// words. The list of all of them is [`REFERENCE`].
macro_rules! refusals {
    ($(
        $(#[doc = $doc:literal])+
        $name:ident $(($($told:ident: $type:ty),+))?: $status:ident, $code:literal, $message:literal;
    )+) => {
        impl Error {
            $($(#[doc = $doc])+
            pub fn $name($($($told: $type),+)?) -> Self {
                Self::client(StatusCode::$status, $code, format!($message))
            })+
        }

        /// Every refusal: name, status, code, message with `{what}` it is told, and when it happens.
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
    /// A new password or identity in an update that may not set it: it takes the user's own recent
    /// session, the server-code key or a developer.
    not_recent: BAD_REQUEST, 3029, "A new password or identity needs a recent login of this very user. Log in again and repeat the change";
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
    /// A check of a password without a session.
    nobody_to_verify: BAD_REQUEST, 3121, "No authenticated user is associated with request";
    /// A check of a password with a client key.
    verify_needs_server_key: BAD_REQUEST, 3122, "Password verification allowed only from CloudCode";
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
    /// A change with a session cookie alone, from a page that the application does not list.
    cookie_alone: FORBIDDEN, 20017, "A session cookie alone is not enough here. Send the user-token header, or add the page's origin to the application's list";
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
    /// Settings that another developer changed while they were being written.
    settings_changed: CONFLICT, 20016, "Somebody else changed the settings at this moment. Read them and try again";
    /// Objects that are there do not fit what a column is to be; `errorData` lists the first of them.
    rows_in_the_way(what: impl fmt::Display): BAD_REQUEST, 20040, "{what}";
    /// The identity was changed while a user was being written.
    identity_changed: CONFLICT, 20041, "The property that users log in with changed at this moment. Try again";
    /// Another change of the identity is under way.
    identity_changing: CONFLICT, 20042, "Another property is just becoming the identity. Wait until that is done";
    /// A change of the own password with a wrong old one, or with none.
    wrong_old_password: BAD_REQUEST, 20060, "The old password is wrong. Send it as oldPassword beside the new one";
    /// A command about a developer who is not there.
    no_such_developer: BAD_REQUEST, 20061, "There is no developer with that address";
    /// No object has that id.
    no_such_object(id: &str): BAD_REQUEST, 1000, "Entity with ID {id} not found";
    /// A change without any property.
    nothing_to_change: BAD_REQUEST, 1001, "The object to save has no property. Send at least one";
    /// An `offset` that is no whole number from 0 on.
    bad_offset: BAD_REQUEST, 1004, "offset must be a whole number that is not negative";
    /// A `pageSize` that is no whole number from 1 on.
    bad_page_size: BAD_REQUEST, 1005, "pageSize must be a whole number that is not negative";
    /// A page of more than 100 objects.
    page_too_large: BAD_REQUEST, 1025, "pageSize must be 100 at most";
    /// A column that the table does not have, in `sortBy` or `props`.
    no_such_column(column: &str, table: &str): BAD_REQUEST, 1006, "Column '{column}' does not exist in table '{table}'";
    /// A `sortBy` that names no order.
    bad_order: BAD_REQUEST, 1006, "Sort by a column, then asc or desc";
    /// An entry of `props` or `sortBy` that cannot be read.
    bad_selection(what: impl fmt::Display): BAD_REQUEST, 1006, "{what}";
    /// The first or last object of a table without objects.
    no_objects(table: &str): BAD_REQUEST, 1010, "Table {table} has no objects";
    /// Properties that the table lacks, where tables do not grow.
    unknown_properties(names: &str, table: &str): BAD_REQUEST, 1021, "Table {table} has no columns for these properties: {names}. Check their spelling and case, or create the columns in the Console";
    /// A property whose name has a back-tick.
    back_tick(name: &str): BAD_REQUEST, 1038, "The name of property {name} has a back-tick. Use letters, digits and underscores";
    /// An objectId that another object of the table has.
    id_taken: BAD_REQUEST, 1101, "Another object of the table has this objectId";
    /// A read by key without the key.
    no_key: BAD_REQUEST, 1107, "The key is missing. Send objectId";
    /// A value that is no date and no time.
    bad_date(property: &str): BAD_REQUEST, 1110, "Invalid date format for property {property}";
    /// The table name that the wire keeps for itself.
    geo_point: BAD_REQUEST, 1135, "GeoPoint is reserved. Use another name";
    /// A table name that is a word of a path.
    reserved_table(name: &str): BAD_REQUEST, 1154, "{name} cannot be the name of a table: paths use the word. Use another name";
    /// More columns than a table can have.
    too_many_columns(most: usize): BAD_REQUEST, 1149, "{most} columns of a table are the most";
    /// A table that is there already.
    table_exists(name: &str): BAD_REQUEST, 1161, "There is a table {name} already";
    /// A change of a table or column while another one of it goes on.
    schema_busy: CONFLICT, 1138, "Another change of this column is under way. Wait until it is done, or cancel it";
    /// A required property of an object has no value.
    null_required(property: &str): BAD_REQUEST, 1137, "Property {property} is required and cannot be null";
    /// A required property of an object is an empty text.
    empty_required(property: &str): BAD_REQUEST, 1165, "Property {property} is required and must not be empty";
    /// A bulk change that names what only the server sets.
    system_columns(names: &str): BAD_REQUEST, 1036, "A bulk change cannot set the system columns: {names}";
    /// Identities or passwords in a bulk change of users.
    bulk_identity(name: &str): BAD_REQUEST, 3098, "A bulk change cannot set {name} of users";
    /// A list of objects that is none, or that is too long.
    bad_list: BAD_REQUEST, 8044, "Send a JSON array of at most 1000 objects";
    /// The columns of a table changed while an object was being written, again and again.
    table_changed: CONFLICT, 20043, "The columns of the table changed at this moment. Try again";
    /// A value that does not fit its column.
    wrong_type(properties: &str): BAD_REQUEST, 1007, "Unable to save object - invalid data type for properties - {properties}. You can change the property type in developer console.";
    /// No table has that name.
    no_such_table(name: &str): BAD_REQUEST, 1009, "Table not found by name 'Table not found by name '{name}'. Make sure the client class referenced in the API call has the same literal name as the table in Backendless console'";
    /// The caller may not add objects to the table.
    create_denied(table: &str): BAD_REQUEST, 1011, "You do not have permission to create objects of table {table}";
    /// The caller may not change objects of the table.
    update_denied(table: &str): BAD_REQUEST, 1012, "You do not have permission to update objects of table {table}";
    /// The caller may not remove objects of the table.
    delete_denied(table: &str): BAD_REQUEST, 1014, "You do not have permission to delete objects of table {table}";
    /// The caller may not see which columns the table has.
    describe_denied(table: &str): BAD_REQUEST, 1015, "You do not have permission to describe table {table}";
    /// The caller may not read objects of the table.
    find_denied(table: &str): BAD_REQUEST, 1013, "You do not have permission to find objects of table {table}";
    /// A condition that cannot be read or is not served yet.
    where_clause(what: impl fmt::Display): BAD_REQUEST, 1017, "{what}";
    /// An operation that users do not allow.
    not_on_users(what: &str): BAD_REQUEST, 1148, "{what}";
    /// A value that another row has in a unique column.
    not_unique: BAD_REQUEST, 1155, "Another object has this value in a property that must be unique";
    /// A required property is missing.
    required(property: &str): BAD_REQUEST, 3012, "The required property {property} is missing";
    /// The identity is missing.
    no_identity(property: &str): BAD_REQUEST, 3013, "The property {property}, by which users log in, is missing";
    /// A parameter that is missing or has a value that it cannot have.
    bad_parameter(what: impl fmt::Display): BAD_REQUEST, 3038, "{what}";
    /// A required property or the identity is empty.
    empty(property: &str): BAD_REQUEST, 3045, "The property {property} must not be empty";
    /// A token that is unknown, ended or expired. The text repeats it as it was sent, as clients
    /// compare it; it is dead, so nothing is given away.
    dead_token(token: &str): BAD_REQUEST, 3064, "Not existing user token - {token}. Relogin user to update your user token";
    /// A value that the rules of its property or of passwords refuse.
    refused_value(what: impl fmt::Display): BAD_REQUEST, 8023, "{what}";
    /// A failure that the client can do nothing about; the log has the cause.
    broken: INTERNAL_SERVER_ERROR, 20000, "Internal error. Give the operator the requestId of this answer";
    /// The server has more to do than it can in time, or its database is away.
    busy: SERVICE_UNAVAILABLE, 20001, "The server is busy. Try again in a moment";
    /// A body that is not the JSON that the path takes.
    bad_json(what: impl fmt::Display): BAD_REQUEST, 20004, "The body is not valid JSON: {what}";
    /// The disk is full.
    no_space: INSUFFICIENT_STORAGE, 20015, "The server has no disk space left for writing. Tell the operator";
}

impl Error {
    fn client(status: StatusCode, code: u32, message: String) -> Self {
        Self { status, code, message, data: None, retry_after: None, cause: None }
    }

    /// The same refusal with a list: of how many there are, the first.
    #[must_use]
    pub fn with_list(mut self, total: i64, first: &[Value]) -> Self {
        let data = [("total", json!(total)), ("conflicts", json!(first))];
        self.data =
            Some(Box::new(data.map(|(name, it)| (name.to_owned(), it)).into_iter().collect()));
        self
    }

    /// The same refusal, with the place of the object that it is about in the list that was sent.
    #[must_use]
    pub fn at(mut self, index: usize) -> Self {
        self.data.get_or_insert_default().insert("index".to_owned(), json!(index));
        self
    }

    /// The same refusal, with the place in the text of a query that it is about: the number of
    /// characters before it.
    #[must_use]
    pub fn at_character(mut self, offset: u32) -> Self {
        self.data.get_or_insert_default().insert("offset".to_owned(), json!(offset));
        self
    }

    /// Whether a value has another type than its column.
    pub fn is_wrong_type(&self) -> bool {
        self.code == 1007
    }

    /// Whether a value is of another type than its column, or no date.
    pub fn is_unfit(&self) -> bool {
        matches!(self.code, 1007 | 1110)
    }

    /// Whether what was prepared does not fit the tables any more, and is to be prepared again.
    pub fn is_table_changed(&self) -> bool {
        self.code == 20043
    }

    /// Whether somebody else had a lock for longer than this was to wait.
    pub fn is_locked(&self) -> bool {
        let cause = self.cause.as_deref().and_then(|it| it.downcast_ref::<engine::Error>());
        matches!(cause, Some(engine::Error::Locked))
    }

    /// 500: a failure that the client can do nothing about.
    pub fn internal(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self { cause: Some(cause.into()), ..Self::broken() }
    }

    /// 500: a panic that was caught (ASVS 5.0, 16.5.4).
    pub fn panicked() -> Self {
        Self::internal(Panicked)
    }

    /// The same failure as a client of a query hears it: one that the database had no time for was
    /// too slow.
    #[must_use]
    pub fn of_query(self) -> Self {
        let cause = self.cause.as_deref().and_then(|it| it.downcast_ref::<engine::Error>());
        if matches!(cause, Some(engine::Error::Deadline)) {
            return Self { cause: self.cause, retry_after: Some(1), ..Self::too_slow() };
        }
        self
    }

    /// Whether a panic is behind it, in a handler or in a unit of work.
    pub fn is_panic(&self) -> bool {
        let Some(cause) = &self.cause else { return false };
        let stored = cause.downcast_ref::<engine::Error>();
        cause.is::<Panicked>() || matches!(stored, Some(engine::Error::Panicked))
    }

    /// 503: the server has more to do than it can in time, or its database is away.
    pub fn overloaded(retry_after: u32) -> Self {
        Self { retry_after: Some(retry_after), ..Self::busy() }
    }

    /// The same, with the time after which another try makes sense.
    #[must_use]
    pub fn again_in(self, millis: i64) -> Self {
        let seconds = u32::try_from(millis.max(1).saturating_add(999) / 1000).unwrap_or(u32::MAX);
        Self { retry_after: Some(seconds), ..self }
    }

    /// The same, but no later than then.
    #[must_use]
    pub fn again_at_most(self, millis: i64) -> Self {
        let seconds = u32::try_from(millis / 1000).unwrap_or(u32::MAX);
        Self { retry_after: self.retry_after.map(|it| it.min(seconds)), ..self }
    }

    /// 503: the server has been asked to stop, and stops when it has answered what it was asked.
    pub fn draining() -> Self {
        let message = "The server is draining: it is about to stop. Ask another node";
        Self { message: message.into(), ..Self::overloaded(1) }
    }

    /// Whether the database had no such place or table: what was asked for is gone.
    pub fn is_undefined(&self) -> bool {
        let cause = self.cause.as_deref().and_then(|it| it.downcast_ref::<engine::Error>());
        matches!(cause, Some(engine::Error::Undefined(_)))
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
            engine::Error::Range => Self::where_clause(
                "A calculation leaves the range of numbers. Calculate with smaller ones",
            ),
            engine::Error::NoSpace => {
                Self { cause: Some(cause.into()), retry_after: Some(10), ..Self::no_space() }
            }
            engine::Error::Overloaded
            | engine::Error::Deadline
            | engine::Error::Conflict
            | engine::Error::Locked
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

    /// The wire has one code for whatever is wrong with a column in a query, and one for whatever
    /// one may not do to a user.
    const SHARED: &[u32] = &[1006, 3029];

    #[test]
    fn codes_are_unique_but_where_the_wire_shares_them() {
        let mut seen = BTreeSet::new();
        for (name, _, code, message, when) in REFERENCE {
            assert!(seen.insert(code) || SHARED.contains(code), "{name} uses {code} again");
            assert!(!message.is_empty() && !when.trim().is_empty(), "{name} explains itself");
        }
    }

    #[test]
    fn a_refusal_says_what_it_was_told() {
        let error = Error::no_such_column("shoe", "Users");
        assert_eq!(error.message, "Column 'shoe' does not exist in table 'Users'");
        assert_eq!((error.status.as_u16(), error.code), (400, 1006));
    }
}
