//! The API reference and the other pages: made of the same tables as the server, and whole.

use std::collections::BTreeSet;

use serde_json::Value;
use server::error::REFERENCE;
use server::web::{Route, openapi, shape};
use server::{reference, router};

/// Every value of a document, with the path to it.
fn walk<'a>(value: &'a Value, path: &str, each: &mut dyn FnMut(&str, &'a Value)) {
    each(path, value);
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                walk(value, &format!("{path}/{name}"), each);
            }
        }
        Value::Array(list) => {
            for (index, value) in list.iter().enumerate() {
                walk(value, &format!("{path}/{index}"), each);
            }
        }
        _ => {}
    }
}

fn operation<'a>(document: &'a Value, route: &Route) -> &'a Value {
    &document["paths"][&route.path][route.method.as_str().to_ascii_lowercase()]
}

#[test]
fn every_route_is_in_the_document_under_a_name_of_its_own() {
    let routes = router::routes();
    let document = openapi::document(&routes);
    assert_eq!(document["openapi"], "3.1.0");
    let mut ids = BTreeSet::new();
    for route in &routes {
        let (id, operation) = (route.id, operation(&document, route));
        assert_eq!(operation["operationId"], id, "{} {}", route.method, route.path);
        assert!(ids.insert(id), "two routes are called {id}");
        assert!(id.chars().all(|it| it.is_ascii_alphanumeric()), "{id}");
        assert!(route.summary.len() > 8 && !route.summary.ends_with('.'), "{id} says what it does");
        assert!(!operation["tags"][0].is_null(), "{id}");
        assert!(operation["responses"]["200"]["description"].is_string(), "{id}");
    }
    let mut count = 0;
    for path in document["paths"].as_object().unwrap().values() {
        count += path.as_object().unwrap().len();
    }
    assert_eq!(count, routes.len(), "and nothing else is in it");
}

#[test]
fn every_reference_in_the_document_leads_somewhere() {
    let document = openapi::document(&router::routes());
    let tags: Vec<&Value> =
        document["tags"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    walk(&document, "", &mut |path, value| {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            let found = reference.strip_prefix('#').and_then(|it| document.pointer(it));
            assert!(found.is_some(), "{path} leads to {reference}");
        }
        for tag in value.get("tags").and_then(Value::as_array).into_iter().flatten() {
            assert!(tag.is_object() || tags.contains(&tag), "{path} has tag {tag}");
        }
        for scheme in value.get("security").and_then(Value::as_array).into_iter().flatten() {
            for name in scheme.as_object().unwrap().keys() {
                let schemes = &document["components"]["securitySchemes"];
                assert!(schemes[name].is_object(), "{path} wants {name}");
            }
        }
    });
}

#[test]
fn every_parameter_is_declared_once_and_where_it_is() {
    let routes = router::routes();
    let document = openapi::document(&routes);
    for route in &routes {
        let mut declared = BTreeSet::new();
        let parameters = operation(&document, route)["parameters"].as_array().unwrap();
        for parameter in parameters {
            let (place, name) = (&parameter["in"], parameter["name"].as_str().unwrap());
            assert!(declared.insert(format!("{place} {name}")), "{}: {name} twice", route.id);
            assert!(parameter["schema"].is_object() && parameter["description"].is_string());
            let in_path = route.path.contains(&format!("{{{name}}}"));
            assert_eq!(in_path, place == "path", "{}: {name}", route.id);
            assert!(!in_path || parameter["required"] == true, "{}: {name}", route.id);
        }
        let held = route.path.matches('{').count();
        let in_path = parameters.iter().filter(|it| it["in"] == "path").count();
        assert_eq!(in_path, held, "{}", route.path);
    }
}

#[test]
fn bodies_are_schemas_and_only_where_a_body_can_be() {
    const TYPES: &[&str] = &["object", "array", "string", "integer", "number", "boolean", "null"];
    let routes = router::routes();
    let document = openapi::document(&routes);
    for route in &routes {
        let body = &operation(&document, route)["requestBody"];
        let can = ["POST", "PUT"].contains(&route.method.as_str());
        assert!(body.is_null() || can, "{} has a body", route.id);
    }
    walk(&document, "", &mut |path, value| {
        let in_properties = path.ends_with("/properties");
        if let Some(kind) = value.get("type").filter(|it| !in_properties && !it.is_object()) {
            let one = std::slice::from_ref(kind);
            for kind in kind.as_array().map_or(one, Vec::as_slice) {
                let known = kind.as_str().is_some_and(|it| TYPES.contains(&it));
                assert!(known || path.contains("securitySchemes"), "{path} is a {kind}");
            }
        }
        if let (Some(required), Some(properties)) =
            (value.get("required").and_then(Value::as_array), value.get("properties"))
        {
            for name in required {
                let named = name.as_str().is_some_and(|it| properties.get(it).is_some());
                assert!(named, "{path} requires {name}, which it does not have");
            }
        }
    });
}

#[test]
fn every_code_of_a_route_is_in_the_list_of_errors() {
    let document = openapi::document(&router::routes());
    let mut used = BTreeSet::new();
    for route in &router::routes() {
        for code in openapi::codes(route) {
            let known = REFERENCE.iter().find(|it| it.2 == code);
            let Some((_, status, ..)) = known else { panic!("{}: {code} is no code", route.id) };
            let refusal = &operation(&document, route)["responses"][status.as_str()];
            let text = refusal["description"].as_str().unwrap_or_default();
            assert!(text.contains(&format!("- {code}: ")), "{}: {code} in {text}", route.id);
            used.insert(code);
        }
    }
    assert!(used.len() > 30, "{used:?}");
}

#[test]
fn every_setting_of_an_application_has_a_text() {
    fn texts(schema: &Value, before: &str) -> usize {
        let mut count = 0;
        for (name, part) in schema["properties"].as_object().into_iter().flatten() {
            let text = part["description"].as_str().unwrap_or_default();
            assert!(text.len() > 10, "{before}{name} says what it is for");
            count += 1 + texts(part, &format!("{before}{name}."));
        }
        count
    }
    let count = texts(&shape::of::<server::settings::Settings>(), "");
    assert!(count > 15, "{count} settings");
}

#[test]
fn a_page_has_a_line_for_each_entry_of_its_table() {
    let page = |name: &str| {
        let page = reference::PAGES.iter().find(|it| it.0 == name).unwrap();
        page.1()
    };
    let errors = page("errors");
    for (name, _, code, message, _) in REFERENCE {
        let line = errors.lines().find(|it| {
            it.starts_with(&format!("| {code} |")) && it.contains(&message.replace('|', "\\|"))
        });
        assert!(line.is_some(), "{name}");
    }
    let api = page("api");
    for route in router::routes() {
        assert!(api.contains(&format!("| `{} {}` |", route.method, route.path)), "{}", route.id);
    }
    let settings = page("settings");
    for part in [
        "| `--listen` | `USHER_LISTEN` | `listen` | text | 127.0.0.1:9000 | Where the API listens |",
        "`USHER_MASTER_KEY`",
        "| `login.maxConcurrentLogins` | number | `0` |",
        "| `data.dynamicSchema` | boolean | `false` (`compat`: `true`) |",
    ] {
        assert!(settings.contains(part), "{part} in\n{settings}");
    }
    let document: Value = serde_json::from_str(&page("openapi")).unwrap();
    assert_eq!(document, openapi::document(&router::routes()));
    for (name, _) in reference::PAGES {
        for line in page(name).lines().filter(|it| it.starts_with('|')) {
            assert!(line.ends_with(" |"), "{name}: {line}");
        }
    }
}
