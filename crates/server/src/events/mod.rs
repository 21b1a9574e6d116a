//! What happened: each change leaves an event in its own transaction. The audit log, webhooks, mail
//! and undo read it later.
//!
//! **Invariant:** an event holds no secret: no password, no hash, no token.

use serde_json::Value;

use crate::clock::Millis;
use crate::error::Result;
use crate::ids::Random;
use crate::store::{self, Tx};

/// Who does something, and in which request: taken from the caller once and written into each
/// event.
#[derive(Clone, Debug)]
pub struct Author {
    /// What kind of actor.
    pub kind: Actor,
    /// The id of the user or developer; else empty.
    pub id: String,
    /// The id of the request.
    pub request: String,
    /// The address it came from.
    pub address: String,
    /// When.
    pub at: Millis,
}

/// The kinds of actors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// A client without a session.
    Nobody,
    /// A logged-in user.
    User,
    /// The server-code key.
    ServerCode,
    /// A developer in the Console.
    Developer,
    /// Whoever runs a command on the machine.
    Operator,
    /// The server by itself: a job.
    System,
}

impl Actor {
    /// The word in the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nobody => "nobody",
            Self::User => "user",
            Self::ServerCode => "server-code",
            Self::Developer => "developer",
            Self::Operator => "operator",
            Self::System => "system",
        }
    }
}

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A user came to be by registration.
    UserRegistered,
    /// A user came to be through the data API.
    UserCreated,
    /// A guest came to be.
    GuestCreated,
    /// A guest became a regular user.
    GuestConverted,
    /// Properties of a user were changed.
    UserUpdated,
    /// A user has a new password. Mail tells the owner, at the `addresses` in the event.
    PasswordChanged,
    /// A user was deleted.
    UserDeleted,
    /// A user was enabled or disabled.
    StatusChanged,
    /// A session began.
    SessionOpened,
    /// A session was ended by its owner.
    SessionClosed,
    /// All sessions of an application were ended.
    AllSessionsClosed,
    /// Wrong passwords in a row have locked an account.
    AccountLocked,
    /// A developer has opened an account that wrong passwords had closed.
    AccountUnlocked,
    /// An object of a table came to be.
    ObjectCreated,
    /// Properties of an object, or of many, were changed.
    ObjectUpdated,
    /// An object, or many, were deleted.
    ObjectDeleted,
    /// A table or columns came to be.
    SchemaChanged,
    /// Settings were changed.
    SettingsChanged,
    /// An application came to be.
    AppCreated,
    /// An application was renamed.
    AppRenamed,
    /// An application was deleted.
    AppDeleted,
    /// An API key got a new secret.
    KeyRegenerated,
    /// An API key was added, renamed or removed.
    KeyChanged,
    /// A domain was mapped, changed or removed.
    DomainChanged,
    /// A developer came to be.
    DeveloperCreated,
    /// A developer has another name.
    DeveloperUpdated,
    /// A developer has a new password. Mail tells the owner, at the `addresses` in the event.
    DeveloperPasswordChanged,
}

impl Event {
    /// The word in the store; it never changes.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::UserRegistered => "user.registered",
            Self::UserCreated => "user.created",
            Self::GuestCreated => "user.guest",
            Self::GuestConverted => "user.converted",
            Self::UserUpdated => "user.updated",
            Self::PasswordChanged => "user.password",
            Self::UserDeleted => "user.deleted",
            Self::StatusChanged => "user.status",
            Self::SessionOpened => "session.opened",
            Self::SessionClosed => "session.closed",
            Self::AllSessionsClosed => "session.all-closed",
            Self::AccountLocked => "user.locked",
            Self::AccountUnlocked => "user.unlocked",
            Self::ObjectCreated => "object.created",
            Self::ObjectUpdated => "object.updated",
            Self::ObjectDeleted => "object.deleted",
            Self::SchemaChanged => "schema.changed",
            Self::SettingsChanged => "app.settings",
            Self::AppCreated => "app.created",
            Self::AppRenamed => "app.renamed",
            Self::AppDeleted => "app.deleted",
            Self::KeyRegenerated => "app.key-regenerated",
            Self::KeyChanged => "app.key",
            Self::DomainChanged => "app.domain",
            Self::DeveloperCreated => "developer.created",
            Self::DeveloperUpdated => "developer.updated",
            Self::DeveloperPasswordChanged => "developer.password",
        }
    }
}

/// Writes an event about `about` down in the transaction that makes it true; `change` says what was
/// and what is.
pub fn record(
    tx: &Tx<'_>,
    random: &Random,
    author: &Author,
    event: Event,
    about: &str,
    change: &Value,
) -> Result<()> {
    let stored = store::events::Stored {
        id: random.object_id(author.at),
        at: author.at,
        kind: event.as_str().to_owned(),
        by_kind: author.kind.as_str().to_owned(),
        by_id: author.id.clone(),
        about: about.to_owned(),
        change: change.to_string(),
        request: author.request.clone(),
        address: author.address.clone(),
    };
    store::events::insert(tx, &stored)
}
