//! Values of `cluster.yaml` that are lists or maps of words, each item reported at its place.

use std::collections::BTreeMap;
use std::fmt;

use camino::Utf8PathBuf;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::diagnostic::ValueError;
use super::rule::{Rule, Wrong};
use crate::yaml::{Node, Value};

/// Archives of images.
pub(super) fn archives() -> Rule<Vec<Utf8PathBuf>> {
    words(archive, "[app.tar]")
}

/// Names and addresses for a certificate.
pub(super) fn sans() -> Rule<Vec<String>> {
    words(san, "[api.example.com]")
}

/// Taints of a Node.
pub(super) fn taints() -> Rule<Vec<Taint>> {
    words(taint, "[dedicated=batch:NoSchedule]")
}

/// Labels of a Node.
pub(super) fn labels() -> Rule<BTreeMap<String, String>> {
    let mut schema = pairs_schema();
    schema["examples"] = json!(["{disk: ssd}"]);
    Rule::new(schema, |node| read_pairs(node, label))
}

/// The schema of a map of words to words.
pub(super) fn pairs_schema() -> serde_json::Value {
    json!({"type": "object", "additionalProperties": {"type": "string"}})
}

fn words<T: 'static>(parse: fn(&str) -> Result<T, ValueError>, example: &str) -> Rule<Vec<T>> {
    let schema = json!({"type": "array", "items": {"type": "string"}, "examples": [example]});
    Rule::new(schema, move |node| read_words(node, parse))
}

fn read_words<T>(
    node: &Node,
    parse: impl Fn(&str) -> Result<T, ValueError>,
) -> Result<Vec<T>, Wrong> {
    let Value::Sequence(items) = &node.value else {
        let error = ValueError::new("must be a list").hint("such as `[one, two]`");
        return Err(vec![(error, node.span.clone())]);
    };
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    for item in items {
        match text(item).and_then(&parse) {
            Ok(value) => found.push(value),
            Err(error) => wrong.push((error, item.span.clone())),
        }
    }
    if wrong.is_empty() {
        Ok(found)
    } else {
        Err(wrong)
    }
}

/// Reads a map of words to words.
pub(super) fn read_pairs(
    node: &Node,
    check: impl Fn(&str, &str) -> Result<(), ValueError>,
) -> Result<BTreeMap<String, String>, Wrong> {
    let (mut found, mut wrong) = (BTreeMap::new(), Vec::new());
    for (key, value) in entries(node)? {
        let read = text(key).and_then(|key| Ok((key, text(value)?)));
        match read.and_then(|(key, value)| check(key, value).map(|()| (key, value))) {
            Ok((name, value)) => {
                if found.insert(name.to_owned(), value.to_owned()).is_some() {
                    let error = ValueError::new(format!("`{name}` is given twice"));
                    wrong.push((error.hint("keep one of the two"), key.span.clone()));
                }
            }
            Err(error) => wrong.push((error, key.span.clone())),
        }
    }
    if wrong.is_empty() {
        Ok(found)
    } else {
        Err(wrong)
    }
}

/// The pairs of a map.
pub(super) fn entries(node: &Node) -> Result<&[(Node, Node)], Wrong> {
    match &node.value {
        Value::Mapping(entries) => Ok(entries),
        _ => {
            let error = ValueError::new("must be a map").hint("such as `{key: value}`");
            Err(vec![(error, node.span.clone())])
        }
    }
}

/// A single word.
pub(super) fn text(node: &Node) -> Result<&str, ValueError> {
    match &node.value {
        Value::Scalar { text, .. } if text.contains(char::is_control) => {
            Err(ValueError::new("has control characters"))
        }
        Value::Scalar { text, .. } => Ok(text),
        _ => Err(ValueError::new("must be a single word")),
    }
}

/// An archive's path, relative to the file.
fn archive(text: &str) -> Result<Utf8PathBuf, ValueError> {
    if text.contains("://") {
        return Err(ValueError::new(format!("`{text}` is no file"))
            .hint("save the image into an archive beside this file: docker save IMAGE > app.tar"));
    }
    match text.is_empty() {
        false => Ok(text.into()),
        true => Err(ValueError::new("this is no file").hint("such as `app.tar`")),
    }
}

/// A host name or an address, for a certificate.
fn san(text: &str) -> Result<String, ValueError> {
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    let name = text.strip_prefix("*.").unwrap_or(text);
    let is_name = name.len() <= 253 && name.split('.').all(label);
    match text.parse::<std::net::IpAddr>().is_ok() || is_name {
        true => Ok(text.to_owned()),
        false => Err(
            ValueError::new(format!("`{text}` is neither a host name nor an address"))
                .hint("such as `api.example.com` or `203.0.113.7`, without scheme and port"),
        ),
    }
}

/// Whether a key and value may be a label that a kubelet sets of its own node.
fn label(key: &str, value: &str) -> Result<(), ValueError> {
    let (prefix, name) = key.rsplit_once('/').unwrap_or(("", key));
    qualified(name, key)?;
    let theirs = ["kubernetes.io", "k8s.io"]
        .iter()
        .any(|domain| prefix == *domain || prefix.ends_with(&format!(".{domain}")));
    let allowed = prefix == "node.kubernetes.io" || prefix == "kubelet.kubernetes.io";
    if theirs && !allowed {
        return Err(
            ValueError::new(format!("a kubelet may not give its node the label `{key}`")).hint(
                "take a prefix of your own; or set it afterwards: regent kubectl label node NODE …",
            ),
        );
    }
    if value.is_empty() {
        return Ok(());
    }
    qualified(value, value)
}

/// The form of a label's name and of its value: 63 characters, letters and digits at both ends.
fn qualified(name: &str, shown: &str) -> Result<(), ValueError> {
    let ends = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text.ends_with(|c: char| c.is_ascii_alphanumeric())
    };
    let inner = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    match name.len() <= 63 && ends(name) && name.bytes().all(inner) {
        true => Ok(()),
        false => Err(ValueError::new(format!("`{shown}` is no label"))
            .hint("letters, digits, `-`, `_` and `.`, at most 63, beginning and ending with a letter or digit")),
    }
}

/// A taint of a Node. Displays as it is written, `key=value:Effect`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Taint {
    /// Its key.
    pub key: String,
    /// Its value; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub value: String,
    /// `NoSchedule`, `PreferNoSchedule` or `NoExecute`.
    pub effect: String,
}

impl fmt::Display for Taint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, value, effect } = self;
        match value.is_empty() {
            true => write!(f, "{key}:{effect}"),
            false => write!(f, "{key}={value}:{effect}"),
        }
    }
}

/// Reads `key=value:Effect` or `key:Effect`.
fn taint(text: &str) -> Result<Taint, ValueError> {
    let wrong = || {
        ValueError::new(format!("`{text}` is no taint"))
            .hint("such as `dedicated=batch:NoSchedule`; effects are NoSchedule, PreferNoSchedule, NoExecute")
    };
    let (what, effect) = text.rsplit_once(':').ok_or_else(wrong)?;
    if !matches!(effect, "NoSchedule" | "PreferNoSchedule" | "NoExecute") {
        return Err(wrong());
    }
    let (key, value) = what.split_once('=').unwrap_or((what, ""));
    let (_, name) = key.rsplit_once('/').unwrap_or(("", key));
    qualified(name, key).map_err(|_| wrong())?;
    if !value.is_empty() {
        qualified(value, value).map_err(|_| wrong())?;
    }
    Ok(Taint {
        key: key.to_owned(),
        value: value.to_owned(),
        effect: effect.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_labels_and_taints_are_kubernetes_own() {
        for good in [
            "api.example.com",
            "*.example.com",
            "203.0.113.7",
            "2001:db8::1",
            "x",
        ] {
            assert_eq!(san(good).unwrap(), good);
        }
        for bad in [
            "",
            "API.example.com",
            "https://x",
            "x:6443",
            "-x",
            "a..b",
            "x y",
        ] {
            san(bad).unwrap_err();
        }
        for (key, value) in [("disk", "ssd"), ("example.com/zone", "a.1"), ("empty", "")] {
            label(key, value).unwrap();
        }
        for (key, value) in [
            ("node-role.kubernetes.io/x", ""),
            ("-a", "b"),
            ("a", "b c"),
            ("", "x"),
        ] {
            label(key, value).unwrap_err();
        }
        let batch = taint("dedicated=batch:NoSchedule").unwrap();
        assert_eq!(batch.to_string(), "dedicated=batch:NoSchedule");
        assert_eq!(
            taint("gone:NoExecute").unwrap().to_string(),
            "gone:NoExecute"
        );
        for bad in ["", "a", "a=b", "a:Never", ":NoExecute", "a b:NoExecute"] {
            taint(bad).unwrap_err();
        }
    }
}
