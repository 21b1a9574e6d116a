//! What only the Console calls: developers, their applications, settings and keys.

pub mod apps;
pub mod developers;
mod settings;
pub mod setup;

use crate::web::{Access, Route, Token, delete, get, post, put};

/// What this feature answers to.
pub fn routes() -> Vec<Route> {
    let all = (Access::Anybody, Token::Ignored);
    let developer = (Access::Developer, Token::Ignored);
    let member = (Access::Member, Token::Ignored);
    let mut routes = domain_routes();
    routes.extend([
        post(
            ("consoleLogin", "/console/home/login", "Logs a developer in"),
            all,
            developers::login,
        ),
        get(
            ("consoleAccount", "/console/home/myaccount", "Tells who is logged in"),
            developer,
            developers::account,
        ),
        delete(
            ("consoleLogout", "/console/home/logout", "Ends the developer's session"),
            developer,
            developers::logout,
        ),
        get(
            ("listApps", "/console/applications", "Lists the developer's applications"),
            developer,
            apps::list,
        ),
        post(
            ("createApp", "/console/applications", "Makes an application"),
            developer,
            apps::create,
        ),
        put(("renameApp", "/application", "Renames the application"), member, apps::rename),
        delete(("deleteApp", "/application", "Deletes the application"), member, apps::delete),
        get(("appSettings", "/appsettings", "Shows name and API keys"), member, apps::settings),
        post(
            ("regenerateKey", "/apikey/{id}/regenerate", "Gives an API key a new secret"),
            member,
            apps::regenerate,
        ),
        get(
            ("registrationSettings", "/userregistration", "Shows who may register"),
            member,
            settings::registration,
        ),
        put(
            ("setRegistrationSettings", "/userregistration", "Sets who may register"),
            member,
            settings::set_registration,
        ),
        get(("loginSettings", "/userlogin", "Shows how users log in"), member, settings::login),
        post(
            ("setLoginSettings", "/userlogin", "Sets how users log in"),
            member,
            settings::set_login,
        ),
        post(
            ("logoutAll", "/userlogin/logout/all", "Ends all sessions of users"),
            member,
            settings::logout_all,
        ),
        get(("dataSettings", "/data/config", "Shows how tables grow"), member, settings::data),
        put(
            ("setDataSettings", "/data/config", "Sets how tables grow"),
            member,
            settings::set_data,
        ),
        put(
            ("setOrigins", "/domaincontrolsettings", "Sets the origins of pages that may call"),
            member,
            settings::set_origins,
        ),
        post(("consoleFind", "/data/{table}/find", "Finds records"), member, settings::find),
        post(("consoleCount", "/data/{table}/count", "Counts records"), member, settings::count),
        put(
            ("consoleSetStatus", "/data/{table}/{id}", "Enables or disables a user"),
            member,
            settings::set_status,
        ),
        get(("setUpForm", "/setup/{secret}", "The form for the first developer"), all, setup::form),
        post(
            ("setUp", "/setup/{secret}", "Makes the first developer and application"),
            all,
            setup::submit,
        ),
    ]);
    routes
}

fn domain_routes() -> Vec<Route> {
    let member = (Access::Member, Token::Ignored);
    vec![
        get(
            ("listDomains", "/settings/custom-domain", "Lists the application's domains"),
            member,
            apps::domains,
        ),
        post(
            ("createDomain", "/settings/custom-domain", "Maps a domain"),
            member,
            apps::create_domain,
        ),
        put(
            (
                "updateDomain",
                "/settings/custom-domain/{id}",
                "Gives a domain another name or API key",
            ),
            member,
            apps::update_domain,
        ),
        delete(
            ("deleteDomain", "/settings/custom-domain/{id}", "Removes a domain"),
            member,
            apps::delete_domain,
        ),
    ]
}
