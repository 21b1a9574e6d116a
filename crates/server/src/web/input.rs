//! What a handler reads: the body, the names in the path, the pairs of the query.

use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http::request::Parts;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::json;
use crate::server::Server;

/// The body of a request, read by the one strict JSON reader. An empty body and `null` are alike:
/// no body.
pub struct Body(pub Option<Value>);

impl Body {
    /// The members of the object that was sent; none without a body. Fails with 20004 for anything
    /// but an object.
    pub fn object(self) -> Result<Map<String, Value>> {
        match self.0 {
            None => Ok(Map::new()),
            Some(Value::Object(map)) => Ok(map),
            Some(_) => Err(Error::bad_json("an object {…} is expected here")),
        }
    }
}

impl FromRequest<Server> for Body {
    type Rejection = Error;

    async fn from_request(request: Request, server: &Server) -> Result<Self> {
        let bytes = whole(request, server.limits.body_bytes).await?;
        if bytes.is_empty() {
            return Ok(Self(None));
        }
        let value = json::read(&bytes).map_err(Error::bad_json)?;
        Ok(Self(Some(value).filter(|it| !it.is_null())))
    }
}

/// The fields of a form that a page of ours has sent.
pub struct FormBody(Vec<(String, String)>);

impl FormBody {
    /// The field `name`; empty if it is not there.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|it| it.0 == name).map_or("", |it| &it.1)
    }
}

impl FromRequest<Server> for FormBody {
    type Rejection = Error;

    async fn from_request(request: Request, server: &Server) -> Result<Self> {
        let bytes = whole(request, server.limits.body_bytes).await?;
        let fields = form_urlencoded::parse(&bytes);
        Ok(Self(fields.map(|(name, value)| (name.into_owned(), value.into_owned())).collect()))
    }
}

async fn whole(request: Request, most: usize) -> Result<Bytes> {
    let (parts, body) = request.into_parts();
    let header = |name| parts.headers.get(name).and_then(|it| it.to_str().ok());
    if header(CONTENT_ENCODING).is_some_and(|it| !it.eq_ignore_ascii_case("identity")) {
        return Err(Error::body_compressed());
    }
    // Refused before it is read: whoever announces too much need not send it.
    let length = header(CONTENT_LENGTH).and_then(|it| it.parse::<usize>().ok());
    if length.is_some_and(|it| it > most) {
        return Err(Error::body_too_large());
    }
    match Limited::new(body, most).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(it) if it.is::<LengthLimitError>() => Err(Error::body_too_large()),
        Err(_) => Err(Error::body_broken()),
    }
}

/// The names in the path, percent-decoded once.
pub struct Names(Vec<(String, String)>);

impl Names {
    /// The segment at `{name}`; empty if the route has none.
    pub fn get(&self, name: &str) -> &str {
        self.0.iter().find(|it| it.0 == name).map_or("", |it| &it.1)
    }
}

impl FromRequestParts<Server> for Names {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, server: &Server) -> Result<Self> {
        let params = RawPathParams::from_request_parts(parts, server).await;
        let params = params.map_err(|_| Error::bad_path())?;
        Ok(Self(params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()))
    }
}

/// The pairs of the query, decoded, in order.
pub struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// The first value of `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|it| it.0 == name).map(|it| it.1.as_str())
    }

    /// All values of `name`.
    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |it| it.0 == name).map(|it| it.1.as_str())
    }
}

impl FromRequestParts<Server> for Pairs {
    type Rejection = Error;

    async fn from_request_parts(parts: &mut Parts, _: &Server) -> Result<Self> {
        let query = parts.uri.query().unwrap_or_default();
        let pairs = form_urlencoded::parse(query.as_bytes());
        Ok(Self(pairs.map(|(name, value)| (name.into_owned(), value.into_owned())).collect()))
    }
}

/// The text under `name`, if there is one that is not empty.
pub fn text<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    object.get(name).and_then(Value::as_str).filter(|it| !it.is_empty())
}
