//! What only the Console calls: developers, their applications, settings and keys.

mod account;
pub mod apps;
pub mod developers;
mod keys;
mod records;
mod sessions;
mod settings;
pub mod setup;
mod tables;

use serde_json::Value;

use crate::jobs::Kind;
use crate::login::SESSION;
use crate::settings::{Calls, Data, Login, Passwords, Profile, Registration};
use crate::web::shape::{any, flag, list, named, number, object, of, text, time, word};
use crate::web::{Access, Route, Token, delete, get, post, put};
use crate::{data, users};

/// What this feature answers to.
pub fn routes() -> Vec<Route> {
    let features = [
        of_developers(),
        of_applications(),
        of_keys(),
        of_domains(),
        of_settings(),
        of_records(),
        tables::routes(),
        of_sessions(),
    ];
    features.into_iter().flatten().collect()
}

const ALL: (Access, Token) = (Access::Anybody, Token::Ignored);
const DEVELOPER: (Access, Token) = (Access::Developer, Token::Ignored);
const MEMBER: (Access, Token) = (Access::Member, Token::Ignored);

fn of_developers() -> Vec<Route> {
    let proof = object(&[
        ("login", text(), "The developer's e-mail address"),
        ("password", text(), "The password"),
    ]);
    let developer = [("id", text(), ""), ("name", text(), ""), ("email", text(), "")];
    let mut account = developer.to_vec();
    account.push(("authKey", text(), "The key of the session"));
    let first = object(&[
        ("email", text(), "The developer's e-mail address"),
        ("name", text(), "The developer's name"),
        ("password", text(), "15 characters or more"),
        ("app?", text(), "The name of the first application"),
    ]);
    let page = "text/html";
    vec![
        post(
            ("consoleLogin", "/console/home/login", "Logs a developer in"),
            ALL,
            developers::login,
        )
        .takes(proof)
        .gives(object(&developer))
        .refuses(&[999, 9005]),
        get(
            ("consoleAccount", "/console/home/myaccount", "Tells who is logged in"),
            DEVELOPER,
            developers::account,
        )
        .gives(object(&account)),
        put(
            ("updateAccount", "/console/home/myaccount", "Changes the developer's own account"),
            DEVELOPER,
            account::update,
        )
        .takes(object(&[
            ("name?", text(), "The name to be"),
            ("password?", text(), "The new password, 15 characters or more"),
            ("oldPassword?", text(), "The password until now; needed with a new one"),
        ]))
        .gives(object(&developer))
        .refuses(&[999, 3038, 3045, 8023, 20060]),
        delete(
            ("consoleLogout", "/console/home/logout", "Ends the developer's session"),
            DEVELOPER,
            developers::logout,
        ),
        get(("setUpForm", "/setup/{secret}", "The form for the first developer"), ALL, setup::form)
            .gives_as(page, text())
            .refuses(&[20011]),
        post(
            ("setUp", "/setup/{secret}", "Makes the first developer and application"),
            ALL,
            setup::submit,
        )
        .takes_as("application/x-www-form-urlencoded", first)
        .gives_as(page, text())
        .refuses(&[3011, 3038, 3040, 3045, 8023, 20011]),
    ]
}

fn of_applications() -> Vec<Route> {
    let profiles = [Profile::Standard, Profile::Compat].map(Profile::as_str);
    let app = object(&[
        ("id", text(), ""),
        ("name", text(), ""),
        ("version", text(), "The server's version"),
        ("created", time(), ""),
        ("ownerDeveloperId", text(), ""),
        ("profile", word(&profiles), "How strict it is"),
        ("type", text(), "Always general"),
    ]);
    let new = object(&[
        ("appName", text(), "1 to 100 characters"),
        ("profile?", word(&profiles), "How strict it is; by default as the operator has set"),
    ]);
    let settings = object(&[
        ("appName", text(), ""),
        ("profile", word(&profiles), ""),
        ("apiKeys", list(&key()), "One for each kind of client, and those that were added"),
    ]);
    let name = object(&[("appName", text(), "1 to 100 characters")]);
    vec![
        get(
            ("listApps", "/console/applications", "Lists the developer's applications"),
            DEVELOPER,
            apps::list,
        )
        .gives(list(&app)),
        post(
            ("createApp", "/console/applications", "Makes an application"),
            DEVELOPER,
            apps::create,
        )
        .takes(new)
        .gives(app.clone())
        .refuses(&[3038, 20013]),
        put(("renameApp", "/application", "Renames the application"), MEMBER, apps::rename)
            .takes(name)
            .gives(app)
            .refuses(&[3038, 20013]),
        delete(("deleteApp", "/application", "Deletes the application"), MEMBER, apps::delete),
        get(("appSettings", "/appsettings", "Shows name and API keys"), MEMBER, apps::settings)
            .gives(settings),
    ]
}

fn key() -> Value {
    object(&[
        ("id", text(), ""),
        ("name", text(), ""),
        ("deviceType", text(), "The kind of client: ANDROID, IOS, JS, REST, WP, AS, BL, or a name"),
        ("apiKey", text(), "The key itself"),
    ])
}

fn of_keys() -> Vec<Route> {
    let name = object(&[("name", text(), "1 to 45 characters")]);
    vec![
        post(("createKey", "/apikey", "Adds an API key"), MEMBER, keys::create)
            .takes(name.clone())
            .gives(key())
            .refuses(&[3038]),
        get(("readKey", "/apikey/{id}", "Shows an API key"), MEMBER, keys::read)
            .gives(key())
            .refuses(&[3038]),
        put(("renameKey", "/apikey/{id}", "Renames an API key"), MEMBER, keys::rename)
            .takes(name)
            .gives(key())
            .refuses(&[3038]),
        delete(("deleteKey", "/apikey/{id}", "Removes an API key"), MEMBER, keys::delete)
            .refuses(&[3038]),
        post(
            ("regenerateKey", "/apikey/{id}/regenerate", "Gives an API key a new secret"),
            MEMBER,
            keys::regenerate,
        )
        .gives(key())
        .refuses(&[3038]),
    ]
}

fn of_domains() -> Vec<Route> {
    let domain = object(&[
        ("id", text(), ""),
        ("domain", text(), "A host name"),
        ("apiKeyId", text(), "The key that its requests count as shown"),
    ]);
    let new_domain =
        object(&[("domain", text(), "A host name"), ("apiKeyId", text(), "The id of an API key")]);
    vec![
        get(
            ("listDomains", "/settings/custom-domain", "Lists the application's domains"),
            MEMBER,
            apps::domains,
        )
        .gives(list(&domain)),
        post(
            ("createDomain", "/settings/custom-domain", "Maps a domain"),
            MEMBER,
            apps::create_domain,
        )
        .takes(new_domain)
        .gives(domain.clone())
        .refuses(&[3038, 20014]),
        put(
            (
                "updateDomain",
                "/settings/custom-domain/{id}",
                "Gives a domain another name or API key",
            ),
            MEMBER,
            apps::update_domain,
        )
        .takes(object(&[
            ("domain?", text(), "A host name"),
            ("apiKeyId?", text(), "The id of an API key"),
        ]))
        .gives(domain)
        .refuses(&[3038, 20014]),
        delete(
            ("deleteDomain", "/settings/custom-domain/{id}", "Removes a domain"),
            MEMBER,
            apps::delete_domain,
        )
        .refuses(&[3038]),
    ]
}

/// What changing settings refuses.
const SETTINGS: &[u32] = &[3038, 20016];

fn of_settings() -> Vec<Route> {
    vec![
        get(
            ("registrationSettings", "/userregistration", "Shows who may register"),
            MEMBER,
            settings::registration,
        )
        .gives(of::<Registration>()),
        put(
            ("setRegistrationSettings", "/userregistration", "Sets who may register"),
            MEMBER,
            settings::set_registration,
        )
        .takes(of::<Registration>())
        .gives(of::<Registration>())
        .refuses(SETTINGS),
        get(("loginSettings", "/userlogin", "Shows how users log in"), MEMBER, settings::login)
            .gives(of::<Login>()),
        post(
            ("setLoginSettings", "/userlogin", "Sets how users log in"),
            MEMBER,
            settings::set_login,
        )
        .takes(of::<Login>())
        .gives(of::<Login>())
        .refuses(SETTINGS),
        post(
            ("logoutAll", "/userlogin/logout/all", "Ends all sessions of users"),
            MEMBER,
            settings::logout_all,
        ),
        get(("dataSettings", "/data/config", "Shows how tables grow"), MEMBER, settings::data)
            .gives(of::<Data>()),
        put(
            ("setDataSettings", "/data/config", "Sets how tables grow"),
            MEMBER,
            settings::set_data,
        )
        .takes(of::<Data>())
        .gives(of::<Data>())
        .refuses(SETTINGS),
        get(
            ("passwordSettings", "/passwords", "Shows what passwords must be"),
            MEMBER,
            settings::passwords,
        )
        .gives(of::<Passwords>()),
        put(
            ("setPasswordSettings", "/passwords", "Sets what passwords must be"),
            MEMBER,
            settings::set_passwords,
        )
        .takes(of::<Passwords>())
        .gives(of::<Passwords>())
        .refuses(SETTINGS),
        get(("callSettings", "/limits", "Shows how many calls are taken"), MEMBER, settings::calls)
            .gives(of::<Calls>()),
        put(
            ("setCallSettings", "/limits", "Sets how many calls are taken"),
            MEMBER,
            settings::set_calls,
        )
        .takes(of::<Calls>())
        .gives(of::<Calls>())
        .refuses(SETTINGS),
        put(
            ("setOrigins", "/domaincontrolsettings", "Sets the origins of pages that may call"),
            MEMBER,
            settings::set_origins,
        )
        .takes(list(&text()))
        .refuses(SETTINGS),
    ]
}

fn of_records() -> Vec<Route> {
    [of_one_record(), of_many_records()].into_iter().flatten().collect()
}

fn of_one_record() -> Vec<Route> {
    let row: Value = named("Object");
    let value = "/data/{table}/{id}/{column}/retrieve-value";
    vec![
        post(("consoleCreate", "/data/{table}", "Adds a record"), MEMBER, records::create)
            .takes(row.clone())
            .gives(row.clone())
            .refuses(data::SAVE),
        put(
            (
                "consoleUpdate",
                "/data/{table}/{id}",
                "Changes a record; of a user any property, and the status",
            ),
            MEMBER,
            records::update,
        )
        .takes(row.clone())
        .gives(row)
        .refuses(data::SAVE),
        delete(
            ("consoleDelete", "/data/{table}/{id}", "Deletes a record"),
            MEMBER,
            records::delete,
        )
        .gives(users::deleted())
        .refuses(&[1000, 1009, 3038]),
        get(("consoleValue", value, "Reads one value of a record"), MEMBER, records::value)
            .gives(any())
            .refuses(&[1000, 1006, 1009]),
    ]
}

fn of_many_records() -> Vec<Route> {
    let (row, ids): (Value, Value) = (named("Object"), list(&text()));
    let one = object(&[("objectId", text(), "The id of a record")]);
    let tables = object(&[("tables", list(&text()), "The names of the tables")]);
    let counts = object(&[]);
    vec![
        post(("consoleFind", "/data/{table}/find", "Finds records"), MEMBER, records::find)
            .takes(data::page_shape())
            .gives(list(&row))
            .refuses(&[1004, 1005, 1006, 1009, 1017, 1025]),
        post(("consoleCount", "/data/{table}/count", "Counts records"), MEMBER, records::count)
            .takes(data::count_shape())
            .gives(number())
            .refuses(&[1006, 1009, 1017]),
        get(
            ("consoleCountByGet", "/data/{table}/count", "Counts records"),
            MEMBER,
            records::count_by_get,
        )
        .reads(&[("where", "A condition, such as age >= 18")])
        .gives(number())
        .refuses(&[1006, 1009, 1017]),
        post(
            ("countTables", "/data/tables-counters", "Counts the records of tables"),
            MEMBER,
            records::counters,
        )
        .takes(tables)
        .gives(counts)
        .refuses(&[3038]),
        post(
            ("consoleCreateMany", "/data/bulk/{table}", "Adds at most 1000 records, all or none"),
            MEMBER,
            records::create_many,
        )
        .takes(list(&row))
        .gives(ids.clone())
        .refuses(data::SAVE),
        put(
            (
                "consoleUpsertMany",
                "/data/bulkupsert/{table}",
                "Changes or adds at most 1000 records, all or none",
            ),
            MEMBER,
            records::upsert_many,
        )
        .takes(list(&row))
        .gives(ids)
        .refuses(data::SAVE),
        delete(
            ("consoleDeleteMany", "/data/tables/{table}/records", "Deletes records"),
            MEMBER,
            records::delete_many,
        )
        .takes(list(&one))
        .gives(flag())
        .refuses(&[1009, 3038]),
        delete(
            ("consoleDeleteAll", "/data/tables/{table}/all", "Deletes all records of a table"),
            MEMBER,
            records::delete_all,
        )
        .gives(flag())
        .refuses(&[1009, 3038]),
    ]
}

fn of_sessions() -> Vec<Route> {
    let session = object(&SESSION.map(|it| (it.0, it.1(), it.2)));
    let cursor = ("cursor", any(), "Where the next page begins; null: there is none");
    let paged = |of: &Value| object(&[("data", list(of), "The page"), cursor.clone()]);
    vec![
        get(
            ("sessionUsers", "/user/sessions/users", "Finds users by identity or id"),
            MEMBER,
            sessions::users,
        )
        .reads(sessions::USERS_QUERY)
        .gives(list(&named("User")))
        .refuses(&[1004, 1005, 1006, 1025]),
        get(
            (
                "usersWithSessions",
                "/user/sessions/users-with-sessions",
                "Lists users with live sessions, and how many each has",
            ),
            MEMBER,
            sessions::users_with_sessions,
        )
        .reads(sessions::PAGE)
        .gives(paged(&any()))
        .refuses(&[1005, 1025]),
        get(
            ("sessionsOfUser", "/user/sessions/{id}", "Lists the live sessions of a user"),
            MEMBER,
            sessions::of_user,
        )
        .reads(sessions::PAGE)
        .gives(paged(&session))
        .refuses(&[1005, 1025]),
        put(
            (
                "unlockUser",
                "/user/unlock/{id}",
                "Opens an account that wrong passwords have closed or locked",
            ),
            MEMBER,
            sessions::unlock,
        )
        .refuses(&[3057]),
        put(
            ("logoutUsers", "/user/sessions/logout", "Ends all sessions of users"),
            MEMBER,
            sessions::log_out,
        )
        .takes(any())
        .refuses(&[3038]),
    ]
}

/// The work of this feature that outlives a request.
pub fn jobs() -> Vec<Kind> {
    vec![Kind::new(apps::CLEAR, 100, apps::finish)]
}
