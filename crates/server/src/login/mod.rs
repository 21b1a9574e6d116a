//! Every way in, and the way out.

mod guest;
mod logout;
mod password;

use crate::web::shape::{flag, named, object, text};
use crate::web::{Access, Route, Token, get, post};

/// What this feature answers to.
pub fn routes() -> Vec<Route> {
    let any = (Access::AnyKey, Token::Ignored);
    let proof = object(&[
        ("login?", text(), "The identity, by default the e-mail address"),
        ("password?", text(), "The password"),
        ("objectId?", text(), "In place of both, with the server-code key: the user's id"),
    ]);
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
        .refuses(&[999, 3009]),
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
