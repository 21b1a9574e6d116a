//! The account: registration, reading, status.

pub mod delete;
pub mod draft;
pub mod identity;
pub(crate) mod register;
mod status;
pub mod update;
pub mod write;

pub use status::set_status;

use crate::error::Error;
use crate::web::shape::{any, flag, list, named, object, text, time, word};
use crate::web::{
    Access, Answer, Caller, Names, Pairs, Reply, Route, State, Token, get, post, put,
};
use crate::{data, error, server::Server, store, web};

/// The work of this feature that outlives a request.
pub fn jobs() -> Vec<crate::jobs::Kind> {
    let change = crate::jobs::Kind::new(identity::JOB, data::TRIES, identity::run);
    vec![change.or_else(data::work::given_up)]
}

/// What this feature answers to.
pub fn routes() -> Vec<Route> {
    let key = (Access::AnyKey, Token::Ignored);
    let seen = (Access::AnyKey, Token::Optional);
    let server_code = (Access::ServerCode(Error::status_needs_server_key), Token::Optional);
    let property = object(&[
        ("name", text(), "Its name"),
        ("required", flag(), "Whether a user must have it"),
        ("type", text(), "STRING, INT, DOUBLE, BOOLEAN, DATETIME, TEXT, JSON, …"),
        ("defaultValue", any(), "The value of a user who comes without one"),
        ("relatedTable", any(), "Always null"),
        ("customRegex", any(), "The expression that its values match, or null"),
        ("autoLoad", flag(), "Always false"),
        ("isPrimaryKey", flag(), "Whether it is objectId"),
        ("identity", flag(), "Whether users log in with it"),
    ]);
    let status = object(&[("userStatus", word(&["ENABLED", "DISABLED"]), "The status to be")]);
    vec![
        post(("register", "/users/register", "Registers a user"), key, register::register)
            .takes(named("NewUser"))
            .gives(named("User"))
            .refuses(&[
                999, 1007, 1110, 1155, 3009, 3011, 3012, 3013, 3029, 3033, 3038, 3039, 3040, 3045,
                8023, 20041, 20043,
            ]),
        get(
            ("describeUsers", "/users/userclassprops", "Lists the properties of users"),
            seen,
            describe,
        )
        .gives(list(&property)),
        get(
            ("restorePassword", "/users/restorepassword/{identity}", "Asks for a recovery mail"),
            key,
            recover,
        )
        .refuses(&[3020, 5050]),
        put(
            ("setStatus", "/users/{id}/status", "Enables or disables a user"),
            server_code,
            status::put,
        )
        .takes(status)
        .refuses(&[3038, 3057]),
        get(("readUser", "/users/{id}", "Reads a user"), seen, read)
            .gives(named("User"))
            .refuses(&[1000, 2000]),
        put(("updateUser", "/users/{id}", "Changes a user"), seen, update::put)
            .takes(named("Object"))
            .gives(named("User"))
            .refuses(&[
                1007, 1110, 1155, 3018, 3028, 3029, 3030, 3038, 3039, 3040, 3045, 8023, 20041,
                20043,
            ]),
        web::delete(("deleteUser", "/users/{id}", "Deletes a user"), seen, delete::delete)
            .gives(deleted())
            .refuses(&[1000, 2000]),
    ]
}

/// What a deletion is answered with.
pub fn deleted() -> serde_json::Value {
    object(&[("deletionTime", time(), "When, in milliseconds since 1970")])
}

/// Answers with one user. Fails with 1000 for an unknown id, and with 2000 where the caller may not
/// see the user, there or not.
async fn read(State(_): State<Server>, caller: Caller, names: Names) -> Reply {
    data::read_one(&caller, crate::schema::USERS, names.get("id")).await
}

/// Answers with the properties of users (users-api 2.1).
async fn describe(caller: Caller) -> Reply {
    let table = caller.app.users()?;
    let described: Vec<_> = table
        .columns
        .iter()
        .map(|it| {
            serde_json::json!({
                "name": it.name,
                "required": it.rules.required,
                "type": it.kind.as_str(),
                "defaultValue": it.default,
                "relatedTable": null,
                "customRegex": it.custom_regex,
                "autoLoad": false,
                "isPrimaryKey": it.name == "objectId",
                "identity": it.identity,
            })
        })
        .collect();
    Answer::json(&described)
}

/// There is no mail yet, so no mail can be sent: 5050, the same for everybody. In `compat` an
/// unknown identity is told first, as the original does.
async fn recover(caller: Caller, names: Names, _: Pairs) -> Reply {
    if caller.app.profile == crate::settings::Profile::Compat {
        let identity = crate::schema::identity::canonical(names.get("identity"));
        let Ok(identity) = identity else { return Err(Error::no_such_identity()) };
        let found = caller.app.realm.data.read(move |db| {
            store::identities::user(db, store::identities::LOGIN, identity.as_str())
        });
        if found.await?.is_none() {
            return Err(Error::no_such_identity());
        }
    }
    Err(error::Error::no_mail())
}
