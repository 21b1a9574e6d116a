//! The reference pages, made of the tables that the server itself runs by: `usher reference NAME`.

use std::fmt::Write as _;

use clap::Args as _;
use serde_json::Value;

use crate::config::{NO_FLAG, NUMBERS, Options};
use crate::error::REFERENCE;
use crate::settings::{Profile, Settings};
use crate::web::{Access, Route, Token, openapi, shape};
use crate::{router, web};

/// A page: its name, and what writes it.
type Page = (&'static str, fn() -> String);

/// All pages there are.
pub const PAGES: [Page; 4] =
    [("settings", settings), ("errors", errors), ("api", api), ("openapi", document)];

/// On top of a page.
fn begun(title: &str, about: &str) -> String {
    format!("<!-- Written by `cargo xtask gen`. -->\n\n# {title}\n\n{about}\n\n")
}

/// A line of a table. What a cell says must not end it.
fn line(cells: &[&str]) -> String {
    let cells: Vec<String> =
        cells.iter().map(|it| it.replace('|', "\\|").replace('\n', " ")).collect();
    format!("| {} |\n", cells.join(" | "))
}

fn table(heads: &[&str]) -> String {
    line(heads) + &line(&heads.iter().map(|_| "---").collect::<Vec<_>>())
}

/// What the operator and what a developer can set.
fn settings() -> String {
    let mut page = begun(
        "Settings",
        "What the operator sets when the server starts, and what a developer sets for an application, \
         while it runs.",
    );
    page.push_str(
        "## The operator's\n\nEach can be a flag, a variable of the environment, or a line of the TOML \
         file that `--config` or `USHER_CONFIG` names; a flag wins over a variable, and that over the \
         file. What is not in this list is refused at the start.\n\n",
    );
    page += &table(&["Flag", "Variable", "In the file", "Type", "Default", "Meaning"]);
    let command = Options::augment_args(clap::Command::new("usher"));
    for flag in command.get_arguments() {
        let name = flag.get_long().unwrap_or_default();
        let help = flag.get_help().map(ToString::to_string).unwrap_or_default();
        let (meaning, default) = with_default(&help);
        page += &setting(&format!("`--{name}`"), name, (meaning, default));
    }
    for (name, meaning) in NO_FLAG {
        page += &setting("none: others see the command line", name, (meaning, ""));
    }
    page.push_str(
        "\n## An application's\n\nA developer changes them in the Console; a change counts from the \
         next request on. The defaults are those of the profile `standard`; `compat` differs where \
         noted.\n\n",
    );
    page += &table(&["Setting", "Type", "Default", "Meaning"]);
    let schema = shape::of::<Settings>();
    let [standard, compat] = [Profile::Standard, Profile::Compat]
        .map(|it| serde_json::to_value(Settings::of(it)).unwrap_or_default());
    rows(&mut page, "", &schema, (&standard, &compat));
    page
}

/// The text of a flag, taken apart: its meaning, and its default if it has one.
fn with_default(help: &str) -> (&str, &str) {
    let parts = help.split_once("; by default ").or_else(|| help.split_once(". By default "));
    parts.map_or((help, ""), |(meaning, default)| (meaning, default.trim_end_matches('.')))
}

fn setting(flag: &str, name: &str, (meaning, default): (&str, &str)) -> String {
    let variable = format!("`USHER_{}`", name.to_ascii_uppercase().replace('-', "_"));
    let kind = if NUMBERS.contains(&name) { "number" } else { "text" };
    line(&[flag, &variable, &format!("`{name}`"), kind, default, meaning])
}

/// The settings of `schema`, those of an object by their whole names.
fn rows(page: &mut String, before: &str, schema: &Value, (standard, compat): (&Value, &Value)) {
    for (name, part) in schema["properties"].as_object().into_iter().flatten() {
        let (standard, compat) = (&standard[name], &compat[name]);
        let whole = format!("{before}{name}");
        if part["properties"].is_object() {
            rows(page, &format!("{whole}."), part, (standard, compat));
            continue;
        }
        let shown = |it: &Value| if it.is_null() { String::new() } else { format!("`{it}`") };
        let mut default = shown(standard);
        if standard != compat {
            let _ = write!(default, " (`compat`: {})", shown(compat));
        }
        let meaning = part["description"].as_str().unwrap_or_default();
        page.push_str(&line(&[&format!("`{whole}`"), &kind(part), &default, meaning]));
    }
}

/// The type of a setting, in a word or two.
fn kind(schema: &Value) -> String {
    if let Some(choices) = schema["oneOf"].as_array() {
        let words: Vec<String> = choices.iter().map(|it| it["const"].to_string()).collect();
        return words.join(" or ");
    }
    let words = match &schema["type"] {
        Value::String(word) => vec![word.as_str()],
        Value::Array(words) => words.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let words: Vec<&str> = words.into_iter().filter(|it| *it != "null").collect();
    match words.join(" or ").as_str() {
        "array" => format!("list of {}", kind(&schema["items"])),
        "integer" => "number".to_owned(),
        "string" => "text".to_owned(),
        other => other.to_owned(),
    }
}

/// Every refusal.
fn errors() -> String {
    let mut page = begun(
        "Errors",
        "A refusal is `{\"code\": …, \"message\": …, \"errorData\": {…}}`. Compare codes, show \
         messages. Codes below 9100 are those of the original service; ours begin at 20000. In a \
         message, `{…}` stands for what it is about.",
    );
    page += &table(&["Code", "Status", "When", "Message"]);
    let mut all = REFERENCE.to_vec();
    all.sort_by_key(|it| (it.2, it.0));
    for (_, status, code, message, when) in all {
        page += &line(&[&code.to_string(), status.as_str(), when.trim(), message]);
    }
    page
}

/// Every route.
fn api() -> String {
    let mut page = begun(
        "API",
        "Every route, made from the table that the server answers by; [openapi.json](../openapi.json) \
         has bodies and answers too, and a running server serves it at `/openapi.json`. In place of \
         `/{app}/{key}`, a domain of the application's own has `/api`.",
    );
    let routes = router::routes();
    let mut tags: Vec<&str> = Vec::new();
    for tag in routes.iter().map(openapi::tag) {
        if !tags.contains(&tag) {
            tags.push(tag);
        }
    }
    for tag in tags {
        let _ = write!(page, "## {tag}\n\n");
        page += &table(&["Route", "Who may", "Session token", "What it does", "Refuses with"]);
        for route in routes.iter().filter(|it| openapi::tag(it) == tag) {
            let codes: Vec<String> =
                openapi::codes(route).iter().map(ToString::to_string).collect();
            page += &line(&[
                &format!("`{} {}`", route.method, route.path),
                who(route),
                token(route),
                route.summary,
                &codes.join(", "),
            ]);
        }
        page.push('\n');
    }
    page
}

fn who(route: &Route) -> &'static str {
    match route.access {
        Access::Anybody => "anybody",
        Access::AnyKey => "any API key",
        Access::ServerCode(_) => "the server-code key",
        Access::Developer => "a developer",
        Access::Member => "a developer of the application",
    }
}

fn token(route: &Route) -> &'static str {
    match (route.group, route.token) {
        (web::Group::App, Token::Required) => "needed",
        (web::Group::App, Token::Optional) => "looked at",
        (web::Group::App, Token::Ignored) => "ignored",
        _ => "",
    }
}

fn document() -> String {
    format!("{:#}", openapi::document(&router::routes()))
}
