//! `cluster.yaml` as its users meet it: good files, bad files with what is said about each, schema and reference.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use insta::{Settings, assert_snapshot, glob};
use regent::spec::{self, ClusterSpec, Loaded, Machine, Memory};
use serde_json::{Value, json};

/// 8 GiB: the smallest machine that the default cluster is meant for.
const MACHINE: Machine = Machine {
    available_memory: Some(Memory::gib(8).bytes()),
};

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn in_snapshots(test: impl FnOnce()) {
    let mut settings = Settings::clone_current();
    settings.set_snapshot_path(root().join("snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(test);
}

/// One golden text for every file of mistakes.
#[test]
fn every_bad_file_is_explained() {
    in_snapshots(|| {
        glob!("fixtures/bad/*.yaml", |path| {
            let said = match spec::load(&read(path), "cluster.yaml", &MACHINE) {
                Err(diagnostics) => diagnostics,
                Ok(Loaded { warnings, .. }) => {
                    let name = path
                        .file_name()
                        .and_then(|name| name.to_str())
                        .unwrap_or_default();
                    assert!(name.starts_with("warn-"), "{name} was accepted");
                    assert!(!warnings.is_empty(), "{name} raised no warning");
                    warnings
                }
            };
            assert_snapshot!("bad", said.to_string());
        });
    });
}

#[test]
fn every_good_file_is_accepted_in_silence() {
    glob!("fixtures/good/*.yaml", |path| {
        let loaded = spec::load(&read(path), "cluster.yaml", &MACHINE)
            .unwrap_or_else(|error| panic!("{error}"));
        assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    });
}

#[test]
fn the_examples_are_good() {
    for entry in fs::read_dir(root().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        let loaded = spec::load(&read(&path), "cluster.yaml", &MACHINE)
            .unwrap_or_else(|error| panic!("{error}"));
        assert!(loaded.warnings.is_empty(), "{}", loaded.warnings);
    }
}

#[test]
fn the_template_says_the_defaults() {
    let loaded = spec::load(spec::TEMPLATE, "cluster.yaml", &MACHINE).unwrap();
    assert_eq!(loaded.spec, ClusterSpec::new("demo".parse().unwrap()));
}

/// Every key of the schema stands in the template, and nothing else does: so the reader knows the same keys as the
/// schema, since it accepts the template.
#[test]
fn the_template_mentions_every_key() {
    let schema = spec::json_schema();
    let mut keys = Vec::new();
    for (key, property) in schema["properties"].as_object().unwrap() {
        keys.push(key.clone());
        keys.extend(
            property["properties"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(key, _)| key.clone()),
        );
    }
    let mut mentioned: Vec<_> = spec::TEMPLATE
        .lines()
        .filter_map(|line| line.trim_start().trim_start_matches("# ").split_once(':'))
        .map(|(key, _)| key.to_owned())
        .filter(|key| !key.contains([' ', '.']))
        .collect();
    // Words that begin a comment and are no keys.
    mentioned.retain(|word| !matches!(word.as_str(), "fast" | "private"));
    keys.sort();
    mentioned.sort();
    assert_eq!(mentioned, keys);
}

/// The values of a document, sections taken apart: `workers.count` and what is there.
fn values(document: &Value) -> BTreeMap<String, Value> {
    let sections = spec::json_schema();
    let mut found = BTreeMap::new();
    for (key, value) in document.as_object().into_iter().flatten() {
        match value.as_object() {
            Some(values) if sections["properties"][key]["properties"].is_object() => {
                let inner = values.iter();
                found.extend(inner.map(|(inner, value)| (format!("{key}.{inner}"), value.clone())));
            }
            _ => _ = found.insert(key.clone(), value.clone()),
        }
    }
    found
}

/// Every key that takes a value, with its section, sorted.
fn every_key() -> Vec<String> {
    let schema = spec::json_schema();
    let mut keys = Vec::new();
    for (key, property) in schema["properties"].as_object().into_iter().flatten() {
        match property["properties"].as_object() {
            Some(inner) => keys.extend(inner.keys().map(|inner| format!("{key}.{inner}"))),
            None => keys.push(key.clone()),
        }
    }
    keys.sort();
    keys
}

/// The values of the spec that a file is read as.
fn read_as(document: &Value) -> BTreeMap<String, Value> {
    let loaded = spec::load(&document.to_string(), "cluster.yaml", &MACHINE)
        .unwrap_or_else(|error| panic!("{error}"));
    values(&json!(loaded.spec))
}

/// A key that is given alone changes the value of that name in the spec, and nothing else.
#[test]
fn every_key_has_a_place_of_its_own() {
    let least = json!({"apiVersion": "regent/v1", "name": "demo"});
    let by_default = read_as(&least);
    let others: Value =
        regent::yaml::from_str(&read(&root().join("tests/fixtures/every-key.yaml"))).unwrap();
    let others = values(&others);
    for (path, other) in &others {
        let mut document = least.clone();
        match path.split_once('.') {
            Some((section, key)) => document[section] = json!({key: other}),
            None => document[path] = other.clone(),
        }
        let mut by_default = by_default.clone();
        // Only one control-plane node can be without an endpoint.
        if path == "controlPlane.endpoint" {
            document["controlPlane"]["count"] = json!(1);
            by_default.insert("controlPlane.count".to_owned(), json!(1));
        }
        // A schedule without a recipient is refused.
        if path.starts_with("backup.") {
            let recipient = &others["backup.recipient"];
            document["backup"]["recipient"] = recipient.clone();
            let with = json!({"backup": {"recipient": recipient}, "apiVersion": "regent/v1", "name": "demo"});
            by_default = read_as(&with);
            if path == "backup.recipient" {
                by_default.remove(path);
            }
        }
        let read = read_as(&document);
        let mut changed: Vec<_> = read.keys().chain(by_default.keys()).collect();
        changed.sort();
        changed.dedup();
        changed.retain(|path| read.get(*path) != by_default.get(*path));
        // The budgets that the file does not give are the tuning's.
        if path == "loadBalancer.tuning" {
            changed.retain(|path| !path.starts_with("budgets."));
        }
        assert_eq!(changed, [path]);
        if other.is_string() || other.is_number() {
            assert_eq!(&read[path], other, "{path}");
        }
    }
    let mut keys = every_key();
    keys.retain(|key| {
        !matches!(
            key.as_str(),
            "apiVersion" | "kubernetes" | "loadBalancer.count"
        )
    });
    assert_eq!(others.into_keys().collect::<Vec<_>>(), keys);
}

/// What the reference says of `kubeadm-docs` is what a file has that asks for it; a budget that is given stays.
#[test]
fn the_budgets_that_are_not_given_are_the_tuning_s() {
    let page = spec::reference_markdown();
    let (_, stock) = page
        .split_once("With `tuning: kubeadm-docs` the defaults are ")
        .unwrap();
    let mut stock: BTreeMap<_, _> = stock
        .trim_end()
        .trim_end_matches('.')
        .split(", ")
        .map(|both| both.trim_matches('`').split_once(": ").unwrap())
        .collect();
    stock.insert("watchGap", "7s");
    let read = read_as(&json!({
        "apiVersion": "regent/v1",
        "name": "demo",
        "loadBalancer": {"tuning": "kubeadm-docs"},
        "budgets": {"watchGap": "7s"},
    }));
    assert_eq!(stock.len(), 11);
    for (key, value) in stock {
        assert_eq!(read[&format!("budgets.{key}")], value, "{key}");
    }
}

/// `just schema` writes both files anew: it runs this test with `REGENT_BLESS=1`.
#[test]
fn schema_and_reference_are_committed() {
    let schema = serde_json::to_string_pretty(&spec::json_schema()).unwrap() + "\n";
    for (file, generated) in [
        ("docs/cluster.schema.json", schema),
        ("docs/cluster-yaml.md", spec::reference_markdown()),
    ] {
        let path = root().join(file);
        if std::env::var_os("REGENT_BLESS").is_some() {
            fs::write(&path, &generated).unwrap();
        }
        let committed = fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == generated,
            "{file} is out of date: run `just schema`"
        );
    }
}

#[test]
fn diagnostics_speak_json() {
    let error = spec::load(
        "apiVersion: regent/v1\nname: demo\nworkers: {count: two}\n",
        "a.yaml",
        &MACHINE,
    )
    .unwrap_err();
    let json = serde_json::to_value(&error).unwrap();
    assert_eq!(
        json,
        json!([{
            "severity": "error",
            "file": "a.yaml",
            "line": 3,
            "column": 18,
            "message": "workers.count: `two` is not a whole number",
            "hint": "write a whole number from 0 to 224",
        }])
    );
}
