//! Every way in, and the way out.

mod guest;
mod logout;
mod password;

use crate::web::{Access, Route, Token, get, post};

/// What this feature answers to.
pub fn routes() -> Vec<Route> {
    let any = (Access::AnyKey, Token::Ignored);
    vec![
        post(("login", "/users/login", "Logs a user in"), any, password::login),
        post(
            ("loginAsGuest", "/users/register/guest", "Makes a guest and logs it in"),
            any,
            guest::login,
        ),
        get(("logout", "/users/logout", "Ends the session of the token"), any, logout::logout),
        get(
            ("isValidToken", "/users/isvalidusertoken/{token}", "Tells whether a token is alive"),
            any,
            logout::is_valid,
        ),
    ]
}
