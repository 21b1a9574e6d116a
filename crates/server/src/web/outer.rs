//! The one layer around all routes: the request's id, limits, deadline, panics, CORS, the body of
//! errors, counters and the log line.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use http::header::{self, HeaderValue};
use http::{Method, Request, StatusCode, Uri, Version};
use tokio::time::Instant;
use tower::ServiceExt as _;

use super::answer::STANDING;
use super::caller::Asked;
use super::cors::{Page, Readers};
use super::host;
use super::input::Due;
use super::routes::{self, Route, RouteNumber};
use crate::address;
use crate::apps::App;
use crate::error::{Error, Result};
use crate::secret::Token;
use crate::server::Server;
use crate::store::keys::Key;

/// All routes, and what stands around them.
pub struct Outer {
    server: Server,
    router: Router,
    ids: Vec<&'static str>,
    started: u32,
    count: AtomicU64,
}

/// The application and key that the path or the host names.
pub struct Target {
    /// The application.
    pub app: Arc<App>,
    /// Its key.
    pub key: Key,
}

/// What is known of a request when its answer is sent.
struct Seen {
    asked: Asked,
    page: Page,
    method: Method,
    start: Instant,
    readers: Readers,
    /// Whether the client speaks TLS with the proxy before us.
    secure: bool,
}

impl Outer {
    /// Serves `routes`.
    pub fn new(server: &Server, routes: &[Route]) -> Self {
        let ids = std::iter::once("none").chain(routes.iter().map(|it| it.id)).collect();
        Self {
            server: server.clone(),
            router: routes::serve(routes, server),
            ids,
            started: u32::from_le_bytes(server.random.bytes()),
            count: AtomicU64::new(0),
        }
    }

    /// Answers one request that came from `peer`.
    pub async fn answer(&self, mut request: Request<Body>, peer: IpAddr) -> Response {
        let mut seen = self.seen(&request, peer);
        let response = match self.prepare(&mut request, &mut seen).await {
            Err(refusal) => refusal.into_response(),
            Ok(()) if seen.method == Method::OPTIONS && seen.page.is_preflight() => {
                StatusCode::NO_CONTENT.into_response()
            }
            Ok(()) => self.run(request, &seen).await,
        };
        self.finish(response, &seen)
    }

    fn seen(&self, request: &Request<Body>, peer: IpAddr) -> Seen {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let headers = request.headers();
        // A line that cannot be read ends the walk like any other hop that says nothing.
        let lines = headers.get_all("x-forwarded-for").iter();
        let forwarded: Vec<&str> = lines.map(|it| it.to_str().unwrap_or_default()).collect();
        let proxies = &self.server.limits.proxies;
        let source = address::source(peer, &forwarded, proxies);
        let agent = headers.get(header::USER_AGENT).and_then(|it| it.to_str().ok());
        let agent: String = agent.unwrap_or_default().chars().take(200).collect();
        let scheme = headers.get_all("x-forwarded-proto").iter().next_back();
        let secure = scheme.is_some_and(|it| it == "https") && proxies.trusts(peer);
        let host = headers.get(header::HOST).and_then(|it| it.to_str().ok()).unwrap_or_default();
        let auth_key = headers.get("auth-key").and_then(|it| it.to_str().ok());
        Seen {
            asked: Asked {
                id: format!("{:08x}-{number:x}", self.started).into(),
                source,
                agent: agent.into(),
                at_loopback: !secure && host::is_loopback(host),
                at: self.server.clock.now(),
                auth_key: auth_key.map(Token::from_client),
            },
            page: Page::of(headers),
            method: request.method().clone(),
            start: Instant::now(),
            readers: Readers::Own,
            secure,
        }
    }

    /// Refuses what no route may see, brings the path into its one form, and finds out whose it is.
    async fn prepare(&self, request: &mut Request<Body>, seen: &mut Seen) -> Result<()> {
        let host = named_host(request)?;
        if request.method() == Method::CONNECT {
            return Err(Error::no_such_method());
        }
        let uri = request.uri();
        let text = uri.path_and_query().map_or("/", |it| it.as_str());
        if text.len() > self.server.limits.uri_bytes {
            return Err(Error::uri_too_long());
        }
        let path = uri.path();
        if !is_sound(path) {
            return Err(Error::bad_path());
        }
        let trimmed = if path.len() > 1 { path.trim_end_matches('/') } else { path };
        let trimmed = if trimmed.is_empty() { "/" } else { trimmed };
        let mut fresh = trimmed.to_owned();
        let segments: Vec<&str> = trimmed.split('/').skip(1).collect();
        let mut found = None;
        if segments.first() == Some(&"api") {
            seen.readers = Readers::Any;
            found = self.by_host(host.as_deref()).await?;
            fresh = format!("/~/~{}", &trimmed["/api".len()..]);
        } else if segments.len() > 2 && segments[0] != "console" && segments[1] != "console" {
            seen.readers = Readers::Any;
            found = self.by_path(segments[0], segments[1]).await?;
        } else if segments == ["openapi.json"] {
            seen.readers = Readers::Any;
        }
        if fresh != path {
            let query = uri.query().map_or(String::new(), |it| format!("?{it}"));
            *request.uri_mut() =
                Uri::try_from(format!("{fresh}{query}")).map_err(|_| Error::bad_path())?;
        }
        if let Some((app, key)) = found {
            seen.readers = Readers::OfApp(Arc::clone(&app));
            if let Some(key) = key {
                request.extensions_mut().insert(Arc::new(Target { app, key }));
            }
        }
        let limit = Duration::from_secs(self.server.limits.request_seconds);
        request.extensions_mut().insert(Due(seen.start + limit));
        request.extensions_mut().insert(seen.asked.clone());
        Ok(())
    }

    async fn by_path(&self, app: &str, key: &str) -> Result<Option<(Arc<App>, Option<Key>)>> {
        let Some(app) = self.server.apps.by_id(app).await? else { return Ok(None) };
        let hash = Token::from_client(&key.to_ascii_uppercase()).digest();
        let key = app.key(&hash).cloned();
        Ok(Some((app, key)))
    }

    async fn by_host(&self, host: Option<&str>) -> Result<Option<(Arc<App>, Option<Key>)>> {
        let Some(host) = host else { return Ok(None) };
        let Some((app, id)) = self.server.apps.by_host(host).await? else { return Ok(None) };
        let key = app.keys.iter().find(|it| *it.id == *id).cloned();
        Ok(Some((app, key)))
    }

    async fn run(&self, request: Request<Body>, seen: &Seen) -> Response {
        let limit = Duration::from_secs(self.server.limits.request_seconds);
        let answer = AssertUnwindSafe(self.router.clone().oneshot(request)).catch_unwind();
        let mut response = match tokio::time::timeout_at(seen.start + limit, answer).await {
            Ok(Ok(Ok(response))) => response,
            Ok(Ok(Err(never))) => match never {},
            Ok(Err(_)) => Error::panicked().into_response(),
            Err(_) => Error::too_slow().into_response(),
        };
        if seen.method == Method::OPTIONS && response.status() == StatusCode::METHOD_NOT_ALLOWED {
            // Nobody handles it; which methods there are stands in `Allow`.
            response.extensions_mut().remove::<Arc<Error>>();
            response.headers_mut().remove(header::CONTENT_LENGTH);
            *response.status_mut() = StatusCode::NO_CONTENT;
        }
        response
    }

    fn finish(&self, mut response: Response, seen: &Seen) -> Response {
        let route = response.extensions().get::<RouteNumber>().map_or(0, |it| it.0);
        // What follows a tunnel that was refused may be meant for the other end of it.
        let mut ends = self.server.background.is_stopping() || seen.method == Method::CONNECT;
        if let Some(error) = response.extensions_mut().remove::<Arc<Error>>() {
            if error.status.is_server_error() {
                tracing::error!(request = %seen.asked.id, error = %error, "a request failed");
                if error.is_panic() {
                    self.server.metrics.panics.add();
                }
            }
            ends |= error.ends_connection();
            let body = error.body(&seen.asked.id).to_string();
            *response.body_mut() = Body::from(body);
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            // That of the empty answer that carried the error here.
            headers.remove(header::CONTENT_LENGTH);
            // Whoever is sent away for now is told when to come back.
            let busy = error.status == StatusCode::SERVICE_UNAVAILABLE;
            if let Some(seconds) = error.retry_after.or(busy.then_some(1)) {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
        }
        let status = response.status();
        let headers = response.headers_mut();
        for (name, value) in STANDING {
            headers.entry(name).or_insert(HeaderValue::from_static(value));
        }
        if seen.secure {
            let year = HeaderValue::from_static("max-age=31536000");
            headers.insert(header::STRICT_TRANSPORT_SECURITY, year);
        }
        if ends {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        seen.page.allow(&seen.readers, headers);
        self.log(route, status, seen);
        response
    }

    fn log(&self, route: usize, status: StatusCode, seen: &Seen) {
        let micros = u64::try_from(seen.start.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.server.metrics.count(route, status.as_u16(), micros);
        let app = match &seen.readers {
            Readers::OfApp(app) => &*app.id.0,
            Readers::Own | Readers::Any => "",
        };
        // The path stays out: it has keys and, once, a token in it.
        tracing::info!(
            request = %seen.asked.id,
            route = self.ids.get(route).copied().unwrap_or("none"),
            app,
            method = %seen.method,
            status = status.as_u16(),
            micros,
            "request"
        );
    }
}

/// The one host that the request names. A request that names none, several, or in its target
/// another than in its header could mean something else to a proxy before us (RFC 9112 section
/// 3.2).
fn named_host(request: &Request<Body>) -> Result<Option<String>> {
    let mut values = request.headers().get_all(header::HOST).iter();
    let (first, second) = (values.next(), values.next());
    let text = first.map(|it| it.to_str().map_err(|_| Error::bad_head())).transpose()?;
    let odd = |it: &str| it.bytes().any(|it| !it.is_ascii_graphic() || b"/\\@?#,".contains(&it));
    if second.is_some()
        || (text.is_none() && request.version() > Version::HTTP_10)
        || text.is_some_and(odd)
    {
        return Err(Error::bad_head());
    }
    let target = request.uri().authority();
    if let (Some(target), Some(text)) = (target, text)
        && !target.as_str().eq_ignore_ascii_case(text)
    {
        return Err(Error::bad_head());
    }
    // What is left of `gzip, chunked` is a body that the length of nobody's choosing ends.
    let mut codings = request.headers().get_all(header::TRANSFER_ENCODING).iter();
    if codings.any(|it| !it.as_bytes().eq_ignore_ascii_case(b"chunked")) {
        return Err(Error::bad_head());
    }
    Ok(target.map(http::uri::Authority::as_str).or(text).and_then(host::of_header))
}

/// Whether a path can be decoded, once, into text without control characters and without the
/// segments that mean "here" and "above", in which others see another path.
fn is_sound(path: &str) -> bool {
    let sound = |it: &str| {
        let text = percent_decode(it)?;
        let fits = !text.chars().any(char::is_control) && text != "." && text != "..";
        fits.then_some(())
    };
    path.split('/').all(|it| sound(it).is_some())
}

fn percent_decode(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let hex = [rest.next()?, rest.next()?];
        bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).ok()?, 16).ok()?);
    }
    String::from_utf8(bytes).ok()
}
