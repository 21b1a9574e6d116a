//! The shapes of what routes take and give, in the words of JSON Schema. A route names them where
//! it is declared, and the API reference is made of them.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// A member of an object: its name, with a `?` at the end if it may be missing; what it holds; what
/// it means.
pub type Field = (&'static str, Value, &'static str);

/// An object with these members. Others may come along.
pub fn object(fields: &[Field]) -> Value {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for (name, schema, meaning) in fields {
        let mut schema = schema.clone();
        if !meaning.is_empty() {
            schema["description"] = json!(meaning);
        }
        let bare = name.trim_end_matches('?');
        if bare == *name {
            required.push(bare);
        }
        properties.insert(bare.to_owned(), schema);
    }
    let mut object = json!({ "type": "object", "properties": properties });
    if !required.is_empty() {
        object["required"] = json!(required);
    }
    object
}

/// A text.
pub fn text() -> Value {
    json!({ "type": "string" })
}

/// One of these words.
pub fn word(words: &[&str]) -> Value {
    json!({ "type": "string", "enum": words })
}

/// A whole number from 0 on.
pub fn number() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

/// True or false.
pub fn flag() -> Value {
    json!({ "type": "boolean" })
}

/// An instant, in milliseconds since 1970.
pub fn time() -> Value {
    json!({ "type": "integer", "format": "int64" })
}

/// Any JSON.
pub fn any() -> Value {
    json!({})
}

/// A list.
pub fn list(of: &Value) -> Value {
    json!({ "type": "array", "items": of })
}

/// A shape that the reference has under a name: `User`, `NewUser`, `LoggedIn`, `Object`.
pub fn named(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

/// The shape of a type of ours, with its comments.
pub fn of<T: JsonSchema>() -> Value {
    let mut settings = SchemaSettings::draft2020_12();
    settings.inline_subschemas = true;
    settings.meta_schema = None;
    settings.into_generator().into_root_schema_for::<T>().to_value()
}
