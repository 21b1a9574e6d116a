//! Who sends the request.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::address::Source;
use crate::apps::{App, Lifetime};
use crate::clock::Millis;
use crate::error::{Error, Result};
use crate::events::{Actor, Author};
use crate::live::Session;
use crate::secret::Token;
use crate::server::Server;
use crate::store::developers::Developer;
use crate::store::keys::Key;

/// What is known of every request.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The id of the request, in logs and in answers about failures.
    pub id: Arc<str>,
    /// Where it came from.
    pub source: Source,
    /// What the client calls itself, cut to 200 characters.
    pub agent: Arc<str>,
    /// Whether the client reached the server by the machine's own loopback, without TLS: the one
    /// case in which a cookie may go unprotected.
    pub at_loopback: bool,
    /// When it came.
    pub at: Millis,
    /// The session key of the Console that came with it, dead or alive.
    pub auth_key: Option<Token>,
}

impl Asked {
    /// The author of what this request changes.
    pub fn author(&self, kind: Actor, id: &str) -> Author {
        Author {
            kind,
            id: id.to_owned(),
            request: self.id.to_string(),
            address: self.source.to_string(),
            at: self.at,
        }
    }
}

/// The sender of a request to an application.
///
/// A handler reaches data through `caller.app` and nothing else, so no query can be about another
/// application; and no change can forget whom to name in the audit log.
#[derive(Clone)]
pub struct Caller {
    /// The application that the path or the host names.
    pub app: Arc<App>,
    /// The API key that was shown.
    pub key: Key,
    /// The sender.
    pub who: Who,
    /// The session token that came with the request, dead or alive.
    pub token: Option<Token>,
    /// Whether the answer may set or remove the session cookie: another site's page could otherwise
    /// log its visitor in as somebody else, or out.
    pub may_have_cookie: bool,
    /// The request.
    pub asked: Asked,
}

/// A sender that has been recognised, or has not.
#[derive(Clone)]
pub enum Who {
    /// Nobody in particular.
    Nobody,
    /// A logged-in user.
    User(Arc<Session>),
}

impl Caller {
    /// Whether the request was made with the server-code key.
    pub fn is_server_code(&self) -> bool {
        self.key.device == "BL"
    }

    /// The id of the logged-in user.
    pub fn user(&self) -> Option<&str> {
        match &self.who {
            Who::User(session) => Some(&session.user.id),
            Who::Nobody => None,
        }
    }

    /// How long sessions of the application live.
    pub fn lifetime(&self) -> Lifetime {
        self.app.lifetime()
    }

    /// The author of what this caller changes.
    pub fn author(&self) -> Author {
        match (&self.who, self.is_server_code()) {
            (Who::User(session), _) => self.asked.author(Actor::User, &session.user.id),
            (Who::Nobody, true) => self.asked.author(Actor::ServerCode, ""),
            (Who::Nobody, false) => self.asked.author(Actor::Nobody, ""),
        }
    }
}

/// A developer who is logged in to the Console.
#[derive(Clone)]
pub struct Desk {
    /// Who.
    pub developer: Developer,
    /// The application that the path names, if the route is about one; the developer has a part in
    /// it.
    pub app: Option<Arc<App>>,
    /// The session key as it was sent.
    pub token: Token,
    /// The request.
    pub asked: Asked,
}

impl Desk {
    /// The application that the path names. A route that is about none has no such thing.
    pub fn app(&self) -> Result<&Arc<App>> {
        self.app.as_ref().ok_or_else(Error::not_your_app)
    }

    /// The author of what this developer changes.
    pub fn author(&self) -> Author {
        self.asked.author(Actor::Developer, &self.developer.id.0)
    }
}

/// What the gate of a route has put into the request.
macro_rules! from_gate {
    ($($kind:ty),*) => {$(
        impl FromRequestParts<Server> for $kind {
            type Rejection = Error;

            async fn from_request_parts(parts: &mut Parts, _: &Server) -> Result<Self> {
                let found = parts.extensions.get::<Self>().cloned();
                found.ok_or_else(|| Error::internal("the route lets nobody of this kind in"))
            }
        }
    )*};
}
from_gate!(Caller, Desk, Asked);
