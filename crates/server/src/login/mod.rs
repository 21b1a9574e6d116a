//! Every way in, and the way out.

mod guest;
mod logout;
mod password;
mod verify;

use crate::error::Error;
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
    let server_code = (Access::ServerCode(Error::verify_needs_server_key), Token::Optional);
    let typed = object(&[("password", text(), "The password to check")]);
    let valid = object(&[("valid", flag(), "Whether it is the user's")]);
    vec![
        post(("login", "/users/login", "Logs a user in"), any, password::login)
            .takes(proof)
            .gives(named("LoggedIn"))
            .refuses(&[2014, 3002, 3003, 3006, 3034, 3036, 3044, 3057, 3087, 3090]),
        post(
            ("loginAsGuest", "/users/register/guest", "Makes a guest and logs it in"),
            any,
            guest::login,
        )
        .gives(named("LoggedIn"))
        .refuses(&[3009]),
        post(("verifyPassword", "/users/verifypassword", VERIFIES), server_code, verify::verify)
            .takes(typed.clone())
            .gives(valid.clone())
            .refuses(&[3036, 3121]),
        // As the JavaScript client spells it.
        post(("verifyPasswordOld", "/users/verifypassowrd", VERIFIES), server_code, verify::verify)
            .takes(typed)
            .gives(valid)
            .refuses(&[3036, 3121]),
        get(("logout", "/users/logout", "Ends the session of the token"), any, logout::logout),
        get(
            ("isValidToken", "/users/isvalidusertoken/{token}", "Tells whether a token is alive"),
            any,
            logout::is_valid,
        )
        .gives(flag()),
    ]
}

const VERIFIES: &str = "Checks the password of the logged-in user";
