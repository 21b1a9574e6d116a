//! The API reference and the other pages: made of the same tables as the server, and whole.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use http::Method;
use serde_json::{Value, json};
use server::error::REFERENCE;
use server::web::{Route, openapi, shape};
use server::{reference, router};

use super::harness::Reply;

/// Fails if an answer is none that the API reference tells of: a refusal whose code its route does
/// not name, or a body of another shape. Every test's requests come by here.
#[track_caller]
pub fn is_as_told(method: &Method, url: &str, reply: &Reply) {
    static TOLD: LazyLock<(Vec<Route>, Value)> = LazyLock::new(|| {
        let routes = router::routes();
        let document = openapi::document(&routes);
        (routes, document)
    });
    let path = url.split_once("://").and_then(|it| it.1.find('/').map(|at| &it.1[at..]));
    let path = path.unwrap_or_default().split('?').next().unwrap_or_default();
    let Some(route) = meant(&TOLD.0, method, path) else { return };
    let text = String::from_utf8_lossy(&reply.body);
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let id = route.id;
    if !reply.status.is_success() {
        let code = body["code"].as_u64().and_then(|it| u32::try_from(it).ok()).unwrap_or(0);
        let told = openapi::codes(route).contains(&code) || openapi::EVERYWHERE.contains(&code);
        assert!(told, "the reference of {id} does not tell of {} {text}", reply.status);
        let fault = mismatch(&TOLD.1, &shape::named("Error"), &body, "");
        assert_eq!(fault, None, "{id} answered {text}");
        return;
    }
    match &route.gives {
        None => assert!(reply.body.is_empty(), "{id} should have nothing to say, but said {text}"),
        Some(("application/json", shape)) => {
            let fault = mismatch(&TOLD.1, shape, &body, "");
            assert_eq!(fault, None, "{id} answered {text}");
        }
        Some((kind, _)) => {
            let said = reply.headers["content-type"].to_str().unwrap();
            assert!(said.starts_with(kind), "{id} answered with {said}");
        }
    }
}

/// The route of a path: of several that fit, the one with the most literal segments.
fn meant<'a>(routes: &'a [Route], method: &Method, path: &str) -> Option<&'a Route> {
    let path: Vec<&str> = path.trim_end_matches('/').split('/').collect();
    let fitting = routes.iter().filter(|route| {
        let wanted: Vec<&str> = route.path.split('/').collect();
        let pairs = || wanted.iter().zip(&path);
        let fits = pairs().all(|(wanted, it)| wanted.starts_with('{') || wanted == it);
        route.method == *method && wanted.len() == path.len() && fits
    });
    fitting.min_by_key(|it| it.path.matches('{').count())
}

/// Where `value` is not of that shape, if it is not.
fn mismatch(document: &Value, shape: &Value, value: &Value, place: &str) -> Option<String> {
    if let Some(reference) = shape["$ref"].as_str() {
        let shape = document.pointer(reference.trim_start_matches('#')).unwrap();
        return mismatch(document, shape, value, place);
    }
    for part in shape["allOf"].as_array().into_iter().flatten() {
        if let Some(fault) = mismatch(document, part, value, place) {
            return Some(fault);
        }
    }
    let is = |kind: &Value| match kind.as_str().unwrap() {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        other => panic!("{other} is no type"),
    };
    let fits = match &shape["type"] {
        Value::Null => true,
        Value::Array(kinds) => kinds.iter().any(is),
        kind => is(kind),
    };
    let words = shape["enum"].as_array().is_none_or(|it| it.contains(value));
    let constant = shape.get("const").is_none_or(|it| it == value);
    let mut choices = shape["oneOf"].as_array().into_iter().flatten().peekable();
    let chosen = choices.peek().is_none()
        || choices.any(|it| mismatch(document, it, value, place).is_none());
    if !(fits && words && constant && chosen) {
        return Some(format!("{place}: {value} is not {shape}"));
    }
    for name in shape["required"].as_array().into_iter().flatten() {
        if value.get(name.as_str().unwrap()).is_none() {
            return Some(format!("{place} has no {name}"));
        }
    }
    for (name, shape) in shape["properties"].as_object().into_iter().flatten() {
        let fault = value
            .get(name)
            .and_then(|it| mismatch(document, shape, it, &format!("{place}/{name}")));
        if fault.is_some() {
            return fault;
        }
    }
    let items = value.as_array().filter(|_| shape.get("items").is_some());
    items.into_iter().flatten().find_map(|it| mismatch(document, &shape["items"], it, place))
}

#[test]
fn an_answer_of_another_shape_is_noticed() {
    let document = openapi::document(&router::routes());
    let fault = |shape: &Value, value: Value| mismatch(&document, shape, &value, "").is_some();
    let users = shape::list(&shape::named("User"));
    let sort = shape::object(&[
        ("size", shape::number(), ""),
        ("order?", shape::word(&["asc", "desc"]), ""),
    ]);
    for (shape, good, bad) in [
        (&users, json!([{ "email": "ann@example.com", "shoe": 44 }]), json!([{ "email": 1 }])),
        (&users, json!([]), json!({})),
        (&users, json!([{ "updated": null }]), json!([{ "updated": "now" }])),
        (&sort, json!({ "size": 1 }), json!({ "order": "asc" })),
        (&sort, json!({ "size": 1, "order": "asc" }), json!({ "size": 1, "order": "up" })),
        (&shape::named("LoggedIn"), json!({ "user-token": "x" }), json!({ "email": null })),
    ] {
        assert!(!fault(shape, good.clone()), "{good}");
        assert!(fault(shape, bad.clone()), "{bad}");
    }
    let routes = router::routes();
    let id = |path: &str| meant(&routes, &Method::POST, path).map(|it| it.id);
    assert_eq!(id("/A/K/users/register/guest"), Some("loginAsGuest"));
    assert_eq!(id("/A/K/data/Users/count"), Some("count"));
    assert_eq!(id("/A/console/data/Users/count/"), Some("consoleCount"));
    assert_eq!(id("/nothing"), None);
}

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
        // The wire has one deletion that names what to delete in its body.
        let can =
            ["POST", "PUT"].contains(&route.method.as_str()) || route.id == "consoleDeleteMany";
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
