//! The one layer around all routes: the request's id, limits, deadline, panics, CORS, the body of
//! errors, counters and the log line.

use std::net::IpAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use tower::ServiceExt as _;

use super::caller::Asked;
use super::routes::{self, Route, RouteNumber};
use crate::address;
use crate::apps::App;
use crate::error::{Error, Result};
use crate::secret::Token;
use crate::server::Server;
use crate::store::{self, keys::Key};

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
        let start = Instant::now();
        let asked = self.asked(&request, peer);
        let method = request.method().clone();
        let target = match self.prepare(&mut request, &asked).await {
            Ok(target) => target,
            Err(refusal) => {
                let response = refusal.into_response();
                return self.finish(response, &asked, None, request.headers(), (&method, start));
            }
        };
        let headers = request.headers().clone();
        let app = target.as_ref().map(|it| Arc::clone(&it.app));
        let preflight = method == Method::OPTIONS;
        let response = if preflight && headers.contains_key("access-control-request-method") {
            Response::default()
        } else {
            self.run(request).await
        };
        self.finish(response, &asked, app.as_deref(), &headers, (&method, start))
    }

    fn asked(&self, request: &Request<Body>, peer: IpAddr) -> Asked {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        let forwarded: Vec<&str> = request
            .headers()
            .get_all("x-forwarded-for")
            .iter()
            .filter_map(|it| it.to_str().ok())
            .collect();
        let source = address::source(peer, &forwarded, &self.server.limits.proxies);
        let agent = request.headers().get(header::USER_AGENT).and_then(|it| it.to_str().ok());
        let agent: String = agent.unwrap_or_default().chars().take(200).collect();
        Asked {
            id: format!("{:08x}-{number:x}", self.started).into(),
            source,
            agent: agent.into(),
            at: self.server.clock.now(),
        }
    }

    /// Refuses what no route may see, brings the path into its one form, and finds out whose it is.
    async fn prepare(
        &self,
        request: &mut Request<Body>,
        asked: &Asked,
    ) -> Result<Option<Arc<Target>>> {
        let uri = request.uri();
        let text = uri.path_and_query().map_or("/", |it| it.as_str());
        if text.len() > self.server.limits.uri_bytes {
            return Err(Error::uri_too_long());
        }
        let path = uri.path();
        let decoded = percent_decode(path).ok_or_else(Error::bad_path)?;
        if decoded.chars().any(char::is_control) {
            return Err(Error::bad_path());
        }
        let trimmed = if path.len() > 1 { path.trim_end_matches('/') } else { path };
        let trimmed = if trimmed.is_empty() { "/" } else { trimmed };
        let mut fresh = trimmed.to_owned();
        let mut target = None;
        let segments: Vec<&str> = trimmed.split('/').skip(1).collect();
        if segments.first() == Some(&"api") {
            target = self.by_host(request.headers()).await?;
            fresh = format!("/~/~{}", &trimmed["/api".len()..]);
        } else if segments.len() > 2 && segments[0] != "console" && segments[1] != "console" {
            target = self.by_path(segments[0], segments[1]).await?;
        }
        if fresh != path {
            let query = uri.query().map_or(String::new(), |it| format!("?{it}"));
            *request.uri_mut() =
                Uri::try_from(format!("{fresh}{query}")).map_err(|_| Error::bad_path())?;
        }
        let target = target.map(Arc::new);
        if let Some(target) = &target {
            request.extensions_mut().insert(Arc::clone(target));
        }
        request.extensions_mut().insert(asked.clone());
        Ok(target)
    }

    async fn by_path(&self, app: &str, key: &str) -> Result<Option<Target>> {
        let Some(app) = self.server.apps.by_id(app).await? else { return Ok(None) };
        let hash = Token::from_client(&key.to_ascii_uppercase()).digest();
        let key = app.key(&hash).cloned();
        Ok(key.map(|key| Target { app, key }))
    }

    async fn by_host(&self, headers: &HeaderMap) -> Result<Option<Target>> {
        let host = headers.get(header::HOST).and_then(|it| it.to_str().ok()).unwrap_or_default();
        let host = host.rsplit_once(':').map_or(host, |it| it.0).to_ascii_lowercase();
        let platform = &self.server.apps.platform.data;
        let found = platform.read(move |db| store::domains::by_host(db, &host)).await?;
        let Some(domain) = found else { return Ok(None) };
        let Some(app) = self.server.apps.by_id(&domain.app.0).await? else { return Ok(None) };
        let key = app.keys.iter().find(|it| it.id == domain.api_key_id).cloned();
        Ok(key.map(|key| Target { app, key }))
    }

    async fn run(&self, request: Request<Body>) -> Response {
        let answer = self.router.clone().oneshot(request);
        let bounded = Duration::from_secs(self.server.limits.request_seconds);
        let answer = AssertUnwindSafe(answer).catch_unwind();
        match tokio::time::timeout(bounded, answer).await {
            Ok(Ok(Ok(response))) => response,
            Ok(Ok(Err(never))) => match never {},
            Ok(Err(_)) => {
                self.server.metrics.panics.fetch_add(1, Ordering::Relaxed);
                Error::internal("a handler panicked").into_response()
            }
            Err(_) => Error::too_slow().into_response(),
        }
    }

    fn finish(
        &self,
        mut response: Response,
        asked: &Asked,
        app: Option<&App>,
        request: &HeaderMap,
        (method, start): (&Method, Instant),
    ) -> Response {
        let route = response.extensions().get::<RouteNumber>().map_or(0, |it| it.0);
        if let Some(error) = response.extensions_mut().remove::<Arc<Error>>() {
            if error.status.is_server_error() {
                tracing::error!(request = %asked.id, error = %error, "a request failed");
            }
            let body = error.body(&asked.id).to_string();
            *response.body_mut() = Body::from(body);
            let headers = response.headers_mut();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            // That of the empty answer that carried the error here.
            headers.remove(header::CONTENT_LENGTH);
            if let Some(seconds) = error.retry_after {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
        }
        let status = response.status();
        let headers = response.headers_mut();
        for (name, value) in STANDING {
            headers.entry(name).or_insert(HeaderValue::from_static(value));
        }
        if self.server.background.is_stopping() {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        cors(app, request, headers);
        self.log(asked, route, status, (method, start));
        response
    }

    fn log(&self, asked: &Asked, route: usize, status: StatusCode, of: (&Method, Instant)) {
        let micros = u64::try_from(of.1.elapsed().as_micros()).unwrap_or(u64::MAX);
        self.server.metrics.count(route, status.as_u16(), micros);
        // The path stays out: it has keys and, once, a token in it.
        tracing::info!(
            request = %asked.id,
            route = self.ids.get(route).copied().unwrap_or("none"),
            method = %of.0,
            status = status.as_u16(),
            micros,
            "request"
        );
    }
}

/// On every answer. Nothing is kept by anybody on the way (ASVS 5.0, 14.3.2).
const STANDING: [(HeaderName, &str); 3] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// Lets pages of the application's origins read the answer. No credentials: a session comes in a
/// header, never by itself. Without an application there is nothing to protect, and the page must
/// be able to read the refusal.
fn cors(app: Option<&App>, request: &HeaderMap, headers: &mut HeaderMap) {
    let Some(origin) = request.get(header::ORIGIN) else { return };
    let text = origin.to_str().unwrap_or_default();
    let any = app.is_none_or(|it| it.settings.origins.iter().any(|it| it == "*"));
    let listed = app.is_some_and(|it| it.settings.origins.iter().any(|it| it == text));
    if any {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    } else {
        headers.insert(header::VARY, HeaderValue::from_static("Origin"));
        if !listed || text == "null" {
            return;
        }
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    }
    let Some(method) = request.get(header::ACCESS_CONTROL_REQUEST_METHOD) else { return };
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, method.clone());
    let wanted = request.get(header::ACCESS_CONTROL_REQUEST_HEADERS);
    let wanted = wanted.and_then(|it| it.to_str().ok()).unwrap_or_default();
    let allowed = format!("content-type, user-token, application-type, {wanted}");
    if let Ok(value) = HeaderValue::from_str(allowed.trim_end_matches(", ")) {
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, value);
    }
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
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
