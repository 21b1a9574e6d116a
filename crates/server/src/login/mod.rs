//! Every way in, and the way out.

mod guest;
mod logout;
mod password;
mod sessions;
mod verify;

use crate::error::Error;
use crate::web::shape::{flag, list, named, object, text, time};
use crate::web::{Access, Route, Token, delete, get, post};

/// The name of a member, its shape, and what it means.
type Member = (&'static str, fn() -> serde_json::Value, &'static str);

/// A session as people see it.
pub const SESSION: [Member; 7] = [
    ("id", text, "By which it can be ended; it says nothing about the token"),
    ("created", time, "When it began"),
    ("lastAccess", time, "Its last use"),
    ("expires", time, "When it ends unless it is used"),
    ("deviceType", text, "The kind of client"),
    ("ip", text, "Where it began"),
    ("userAgent", text, "What the client calls itself"),
];

/// What this feature answers to.
pub fn routes() -> Vec<Route> {
    let any = (Access::AnyKey, Token::Ignored);
    let own = (Access::AnyKey, Token::Required);
    let mut session = SESSION.map(|it| (it.0, it.1(), it.2)).to_vec();
    session.push(("current", flag(), "Whether it is the one that asks"));
    let proof = object(&[
        ("login?", text(), "The identity, by default the e-mail address"),
        ("password?", text(), "The password"),
        ("objectId?", text(), "In place of both, with the server-code key: the user's id"),
    ]);
    let server_code = (Access::ServerCode(Error::verify_needs_server_key), Token::Optional);
    let typed = object(&[("password", text(), "The password to check")]);
    let valid = object(&[("valid", flag(), "Whether it is the user's")]);
    vec![
        post(("login", "/users/login", "Logs a user in"), any, password::login)
            .takes(proof)
            .gives(named("LoggedIn"))
            .refuses(&[999, 2014, 3002, 3003, 3006, 3034, 3036, 3044, 3057, 3087, 3090]),
        post(
            ("loginAsGuest", "/users/register/guest", "Makes a guest and logs it in"),
            any,
            guest::login,
        )
        .gives(named("LoggedIn"))
        .refuses(&[999, 1155, 3009]),
        get(
            ("listSessions", "/users/sessions", "Lists the caller's sessions"),
            own,
            sessions::list,
        )
        .gives(list(&object(&session))),
        delete(
            ("endSession", "/users/sessions/{id}", "Ends a session of the caller's"),
            own,
            sessions::end,
        )
        .refuses(&[1000]),
        delete(
            ("endOtherSessions", "/users/sessions", "Ends the caller's sessions but this one"),
            own,
            sessions::end_others,
        ),
        post(("verifyPassword", "/users/verifypassword", VERIFIES), server_code, verify::verify)
            .takes(typed.clone())
            .gives(valid.clone())
            .refuses(&[999, 3036, 3121]),
        // As the JavaScript client spells it.
        post(("verifyPasswordOld", "/users/verifypassowrd", VERIFIES), server_code, verify::verify)
            .takes(typed)
            .gives(valid)
            .refuses(&[999, 3036, 3121]),
        get(("logout", "/users/logout", "Ends the session of the token"), any, logout::logout)
            .changes()
            .refuses(&[20017]),
        get(
            ("isValidToken", "/users/isvalidusertoken/{token}", "Tells whether a token is alive"),
            any,
            logout::is_valid,
        )
        .gives(flag()),
    ]
}

const VERIFIES: &str = "Checks the password of the logged-in user";
