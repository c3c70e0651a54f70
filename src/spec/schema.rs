//! The JSON Schema of `cluster.yaml`, and the reference that is made of it.

use std::fmt::Write;

use serde_json::Value;

use super::types::{ROOT, sections};
use super::{Budgets, Tuning, load};

/// A commented `cluster.yaml` that says every default; `regent init` writes it.
pub const TEMPLATE: &str = include_str!("../../examples/ha.yaml");

/// Returns the JSON Schema (2020-12) of `cluster.yaml`, for editors. It knows each value alone, not the rules between
/// them.
pub fn json_schema() -> Value {
    let mut schema = ROOT.schema(serde_json::to_value(load::nothing()).ok().as_ref());
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = "cluster.yaml".into();
    // An empty file is no cluster.
    if let Some(schema) = schema.as_object_mut() {
        schema.remove("default");
    }
    schema
}

/// Returns the reference of `cluster.yaml` in Markdown: every key with its values, default and meaning.
pub fn reference_markdown() -> String {
    let schema = json_schema();
    let mut page = String::from(
        "# cluster.yaml\n\n\
         <!-- Generated from the types in src/spec by `just schema`; a test compares. -->\n\n\
         Only `apiVersion` and `name` must be given. Unknown and repeated keys are errors. For editors there is a\n\
         [JSON Schema](cluster.schema.json); `regent schema` prints it, and `regent init` writes a commented file.\n",
    );
    for section in sections() {
        let (title, node) = match section.name {
            "" => ("Top level".to_owned(), &schema),
            name => (format!("`{name}`"), &schema["properties"][name]),
        };
        // Writing to a String cannot fail.
        let _ = write!(page, "\n## {title}\n\n{}\n\n", description(node));
        page.push_str("| key | value | default | meaning |\n|---|---|---|---|\n");
        for key in section.keys() {
            let name = key.name;
            let property = &node["properties"][name];
            let (values, default, meaning) =
                (values(property), default(node, name), description(property));
            let _ = writeln!(page, "| `{name}` | {values} | {default} | {meaning} |");
        }
    }
    let stock = Budgets::of(Tuning::KubeadmDocs).limits();
    let stock: Vec<_> = stock
        .map(|(key, limit)| format!("`{key}: {limit}`"))
        .collect();
    let _ = writeln!(
        page,
        "\nWith `tuning: kubeadm-docs` the defaults are {}.",
        stock.join(", ")
    );
    page
}

fn description(property: &Value) -> String {
    let text = property["description"].as_str().unwrap_or_default();
    text.replace('\n', " ").replace('|', "\\|")
}

fn values(property: &Value) -> String {
    let words = |list: &Value| {
        let words: Vec<_> = list
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        format!("`{}`", words.join("`, `"))
    };
    match (property["minimum"].as_u64(), property["maximum"].as_u64()) {
        (Some(low), Some(high)) if low == high => low.to_string(),
        (Some(low), Some(high)) => format!("{low} to {high}"),
        _ if property["properties"].is_object() => "section".to_owned(),
        _ if property["enum"].is_array() => words(&property["enum"]),
        _ => format!("such as {}", words(&property["examples"])),
    }
}

fn default(section: &Value, key: &str) -> String {
    let required = section["required"]
        .as_array()
        .is_some_and(|keys| keys.iter().any(|other| other == key));
    match &section["properties"][key]["default"] {
        _ if required => "must be given".to_owned(),
        Value::String(text) => format!("`{text}`"),
        Value::Number(number) => format!("`{number}`"),
        Value::Object(_) => "see below".to_owned(),
        _ => "none".to_owned(),
    }
}
