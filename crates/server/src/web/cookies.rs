//! The session cookie, and the proof that a page may act with it (users-api 2.10; security S-10,
//! S-11).
//!
//! A browser sends a cookie with whatever any page makes it send. So a request that has nothing but
//! a cookie, and would change something, must come from a page that the application trusts.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::caller::Caller;
use super::cors;
use crate::apps::App;
use crate::secret::Token;
use crate::settings::LONGEST_TIMEOUT;

/// Its name, which clients know.
const NAME: &str = "user-auth-cookie";

/// The token in the cookie. Two different ones are none: another site of the same domain may have
/// planted one.
pub(super) fn token(headers: &HeaderMap) -> Option<Token> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|it| it.to_str().ok());
    let pairs = lines.flat_map(|it| it.split(';')).filter_map(|it| it.trim().split_once('='));
    let mut values = pairs.filter(|it| it.0 == NAME && !it.1.is_empty()).map(|it| it.1);
    let first = values.next()?;
    values.all(|it| it == first).then(|| Token::from_client(first.trim_matches('"')))
}

/// Whether a page of the application, or the person at the browser, sends the request: the browser
/// says that page and server are one site, or that no page is behind it, or the page's origin is
/// one that the application lists by name.
pub(super) fn is_own_page(app: &App, headers: &HeaderMap) -> bool {
    let mut sites = headers.get_all("sec-fetch-site").iter();
    let own = |it: &HeaderValue| it == "same-origin" || it == "none";
    let mut origins = headers.get_all(header::ORIGIN).iter();
    let listed = match (origins.next(), origins.next()) {
        (Some(origin), None) => cors::is_listed(app, origin),
        _ => false,
    };
    listed || (sites.next().is_some_and(own) && sites.all(own))
}

/// Whether no other site's page sends the request: a page of the application does, or a program
/// that is no browser.
pub(super) fn is_no_foreign_page(app: &App, headers: &HeaderMap) -> bool {
    let says = |name: &str| headers.contains_key(name);
    is_own_page(app, headers) || !(says("sec-fetch-site") || says(header::ORIGIN.as_str()))
}

/// The header that sets the cookie to the token of a session that has begun, where the application
/// has cookie sessions.
pub fn with_session(caller: &Caller, token: &Token) -> Option<(HeaderName, HeaderValue)> {
    let age = caller.lifetime().age.unwrap_or(LONGEST_TIMEOUT);
    set(caller, token.reveal(), age.0)
}

/// The header that removes the cookie, if the request was made with a token.
pub fn without_session(caller: &Caller) -> Option<(HeaderName, HeaderValue)> {
    caller.token.as_ref().and_then(|_| set(caller, "", 0))
}

/// Scripts cannot read it, other sites cannot send it but by a link, and it goes to this host alone
/// (ASVS 5.0, 3.3.1 to 3.3.4).
fn set(caller: &Caller, value: &str, seconds: u32) -> Option<(HeaderName, HeaderValue)> {
    if !caller.app.settings.login.cookie_sessions_enabled || !caller.may_have_cookie {
        return None;
    }
    let secure = if caller.asked.at_loopback { "" } else { "; Secure" };
    let cookie =
        format!("{NAME}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}");
    HeaderValue::from_str(&cookie).ok().map(|it| (header::SET_COOKIE, it))
}
