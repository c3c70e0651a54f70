//! `cluster.yaml` as its users meet it: good files, bad files with what is said about each, schema and reference.

use std::fs;
use std::path::Path;

use insta::{Settings, assert_snapshot, glob};
use regent::spec::{self, ClusterSpec, Loaded, Machine, Memory};

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
        serde_json::json!([{
            "severity": "error",
            "file": "a.yaml",
            "line": 3,
            "column": 18,
            "message": "workers.count: `two` is not a whole number",
            "hint": "write a whole number from 0 to 224",
        }])
    );
}
