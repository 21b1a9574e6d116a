//! What a handler reads: the body, the names in the path, the pairs of the query.

use std::time::Duration;

use axum::extract::{FromRequest, FromRequestParts, RawPathParams, Request};
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http::request::Parts;
use http_body::Body as _;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout_at};

use crate::config::Limits;
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
        let bytes = whole(request, &server.limits).await?;
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
        let bytes = whole(request, &server.limits).await?;
        let fields = form_urlencoded::parse(&bytes);
        Ok(Self(fields.map(|(name, value)| (name.into_owned(), value.into_owned())).collect()))
    }
}

/// When the answer to a request is due.
#[derive(Clone, Copy)]
pub(super) struct Due(pub Instant);

/// Reads the body, in memory up to the limit and never beyond. Fails with 20007, 20005, 20030 for a
/// client that is slower than it may be, and 20006.
async fn whole(request: Request, limits: &Limits) -> Result<Bytes> {
    let (parts, body) = request.into_parts();
    let encodings = parts.headers.get_all(CONTENT_ENCODING).iter();
    if encodings.into_iter().any(|it| !it.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err(Error::body_compressed());
    }
    // Refused before it is read: whoever announces too much need not send it.
    let length = parts.headers.get(CONTENT_LENGTH).and_then(|it| it.to_str().ok());
    let length = length.and_then(|it| it.parse::<usize>().ok());
    if length.is_some_and(|it| it > limits.body_bytes) {
        return Err(Error::body_too_large());
    }
    let began = Instant::now();
    let due = parts.extensions.get::<Due>().map_or(began + limits.body_time, |it| it.0);
    let mut body = Limited::new(body, limits.body_bytes);
    let mut bytes = BytesMut::new();
    loop {
        // What has come so far buys the time for what is to come (ASVS 5.0, 13.1.3).
        let bought = bytes.len() as u64 * 1000 / u64::from(limits.body_pace.max(1));
        let until = due.min(began + limits.body_time + Duration::from_millis(bought));
        let frame = match timeout_at(until, body.frame()).await {
            Err(_) => return Err(Error::client_too_slow()),
            Ok(None) => return Ok(bytes.freeze()),
            Ok(Some(Err(it))) if it.is::<LengthLimitError>() => {
                return Err(Error::body_too_large());
            }
            Ok(Some(Err(_))) => return Err(Error::body_broken()),
            Ok(Some(Ok(frame))) => frame,
        };
        match frame.into_data() {
            // A body that comes in one piece, as most do, is not copied.
            Ok(data) if bytes.is_empty() && body.is_end_stream() => return Ok(data),
            Ok(data) => bytes.extend_from_slice(&data),
            Err(_) => {} // trailers say nothing to us
        }
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
