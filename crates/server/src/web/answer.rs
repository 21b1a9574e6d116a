//! What a handler answers with.

use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{self, CONTENT_TYPE, HeaderName, HeaderValue};
use serde::Serialize;

use crate::error::{Error, Result};

/// On every answer: nobody on the way keeps it (ASVS 5.0, 14.3.2), no browser takes it for something
/// that it is not (3.4.4), and no address leaks to where a link leads (3.4.5).
pub(super) const STANDING: [(HeaderName, &str); 3] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// What every handler returns.
pub type Reply = Result<Answer>;

/// A successful answer: status 200, or that of [`Answer::with_status`].
pub struct Answer {
    status: http::StatusCode,
    kind: Option<&'static str>,
    body: Bytes,
    headers: Vec<(HeaderName, HeaderValue)>,
}

impl Answer {
    fn of(kind: Option<&'static str>, body: impl Into<Bytes>) -> Self {
        Self { status: http::StatusCode::OK, kind, body: body.into(), headers: Vec::new() }
    }

    /// Nothing to say: 200 with an empty body. Clients tell it from the text `null`.
    pub fn empty() -> Self {
        Self::of(None, Bytes::new())
    }

    /// JSON that has been written already.
    pub fn json_text(text: impl Into<Bytes>) -> Self {
        Self::of(Some("application/json"), text)
    }

    /// `value` as JSON.
    pub fn json(value: &impl Serialize) -> Reply {
        Ok(Self::json_text(serde_json::to_vec(value)?))
    }

    /// Plain text.
    pub fn text(text: impl Into<Bytes>) -> Self {
        Self::of(Some("text/plain; charset=utf-8"), text)
    }

    /// A page. It may load nothing and be framed by nobody (ASVS 5.0, 3.4.3).
    pub fn page(html: impl Into<Bytes>) -> Self {
        let policy = "default-src 'none'; style-src 'self' 'unsafe-inline'; form-action 'self'; \
                      base-uri 'none'; frame-ancestors 'none'";
        Self::of(Some("text/html; charset=utf-8"), html)
            .with_header(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy))
    }

    /// The same with another status.
    #[must_use]
    pub fn with_status(mut self, status: http::StatusCode) -> Self {
        self.status = status;
        self
    }

    /// The same with these headers, if there are any.
    #[must_use]
    pub fn with_headers(
        mut self,
        more: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
    ) -> Self {
        self.headers.extend(more);
        self
    }

    /// The same with one more header.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let mut response = Response::new(self.body.into());
        *response.status_mut() = self.status;
        if let Some(kind) = self.kind {
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        response.headers_mut().extend(self.headers);
        response
    }
}

/// The error travels to the outer layer, which knows the request's id, logs the cause and writes
/// the body.
impl IntoResponse for Error {
    fn into_response(self) -> Response {
        let mut response = Response::default();
        *response.status_mut() = self.status;
        response.extensions_mut().insert(Arc::new(self));
        response
    }
}
