//! Whose pages may read an answer (CORS). With credentials only where the application has cookie
//! sessions, and only those of origins that it lists by name.

use std::sync::Arc;

use http::header::{self, HeaderMap, HeaderValue};

use crate::apps::App;

/// Whose pages may read the answers of a path.
#[derive(Clone)]
pub(super) enum Readers {
    /// Those of the server's own origin: the Console and the set-up, whose answers are worth every
    /// application (ASVS 5.0, 3.4.2).
    Own,
    /// Those of the origins that the application lists.
    OfApp(Arc<App>),
    /// Any: the path is an application's and no such application is there, or the document is
    /// public. There is nothing to protect, and a page must be able to read the refusal.
    Any,
}

/// What a browser says of the page that asks.
pub(super) struct Page {
    origin: Option<HeaderValue>,
    method: Option<HeaderValue>,
    headers: Option<HeaderValue>,
}

impl Page {
    /// What the headers of a request say.
    pub fn of(request: &HeaderMap) -> Self {
        Self {
            origin: request.get(header::ORIGIN).cloned(),
            method: request.get(header::ACCESS_CONTROL_REQUEST_METHOD).cloned(),
            headers: request.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned(),
        }
    }

    /// Whether it asks what it may ask.
    pub fn is_preflight(&self) -> bool {
        self.origin.is_some() && self.method.is_some()
    }

    /// Lets the page read the answer, if it is one of `readers`.
    pub fn allow(&self, readers: &Readers, answer: &mut HeaderMap) {
        let listed = match readers {
            Readers::Own => return,
            Readers::Any => None,
            Readers::OfApp(app) => Some(&app.settings.origins).filter(|it| !any(it)),
        };
        let named = match readers {
            Readers::OfApp(app) if app.settings.login.cookie_sessions_enabled => Some(app),
            _ => None,
        };
        if listed.is_some() || named.is_some() {
            // Also without an origin: what is kept for one page must not be shown to another.
            answer.insert(header::VARY, HeaderValue::from_static("Origin"));
        }
        // `null` is every sandboxed frame and every file: nobody in particular.
        let Some(origin) = self.origin.as_ref().filter(|it| *it != "null") else { return };
        match listed {
            _ if named.is_some_and(|it| is_listed(it, origin)) => {
                answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
                let yes = HeaderValue::from_static("true");
                answer.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
            }
            None => {
                let anybody = HeaderValue::from_static("*");
                answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, anybody);
            }
            Some(list) if list.iter().any(|it| same(it, origin)) => {
                answer.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            }
            Some(_) => return,
        }
        if self.is_preflight() {
            self.allow_request(answer);
        }
    }

    /// Says what the page may send: what it has asked for, and what every client sends.
    fn allow_request(&self, answer: &mut HeaderMap) {
        let Some(method) = &self.method else { return };
        answer.insert(header::ACCESS_CONTROL_ALLOW_METHODS, method.clone());
        let wanted = self.headers.as_ref().and_then(|it| it.to_str().ok()).unwrap_or_default();
        let allowed = format!("content-type, user-token, application-type, {wanted}");
        if let Ok(value) = HeaderValue::from_str(allowed.trim_end_matches(", ")) {
            answer.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, value);
        }
        answer.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
}

/// Whether the application lists that very origin; `*` lists none by name.
pub(super) fn is_listed(app: &App, origin: &HeaderValue) -> bool {
    origin != "null" && app.settings.origins.iter().any(|it| it != "*" && same(it, origin))
}

fn any(origins: &[String]) -> bool {
    origins.iter().any(|it| it == "*")
}

/// Scheme and host know no case; a browser sends them in small letters, a developer may not.
fn same(listed: &str, origin: &HeaderValue) -> bool {
    listed.as_bytes().eq_ignore_ascii_case(origin.as_bytes())
}
