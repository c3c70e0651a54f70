//! The user's manifests: read from their directory, and looked at before anything is built.

use camino::Utf8Path;
use serde_json::Value;

use super::{BesideError, Mistake, entries, sound, unreadable};
use crate::yaml;

/// Reads the manifests of `directory`, beside a cluster's file: name and text, in the order of their names whatever the
/// locale.
///
/// # Errors
/// When something cannot be read, or could never be applied.
pub(super) fn read(
    directory: &Utf8Path,
    cluster_file: &Utf8Path,
) -> Result<Vec<(String, String)>, BesideError> {
    let own = cluster_file.with_file_name("");
    let own = if own.as_str().is_empty() {
        ".".into()
    } else {
        own
    };
    let same = (directory.canonicalize(), own.canonicalize());
    if matches!(same, (Ok(one), Ok(other)) if one == other) {
        return Err(BesideError::Own(directory.to_owned()));
    }
    let (mut manifests, mut mistakes) = (Vec::new(), Vec::new());
    for (name, path) in entries(directory)? {
        if matches!(
            &*name,
            "kustomization.yaml" | "kustomization.yml" | "Kustomization"
        ) {
            let message = format!(
                "a kustomization is not applied; write out what it makes: kubectl kustomize {directory} > all.yaml"
            );
            mistakes.push(Mistake::of_file(&path, message));
        } else if matches!(path.extension(), Some("yaml" | "yml" | "json")) {
            let text = std::fs::read_to_string(&path).map_err(unreadable(&path))?;
            mistakes.extend(check(&path, &text));
            manifests.push((name, text));
        }
    }
    if manifests.is_empty() && mistakes.is_empty() {
        let lacks = "it has no file that ends in .yaml, .yml or .json";
        mistakes.push(Mistake::of_file(directory, lacks));
    }
    sound(manifests, mistakes)
}

/// What of a file could never be applied.
fn check(path: &Utf8Path, text: &str) -> Vec<Mistake> {
    let mistake = |line, message: String| Mistake {
        file: path.to_owned(),
        line,
        message,
    };
    let documents = match yaml::documents(text) {
        Ok(documents) => documents,
        Err(error) => return vec![mistake(error.line, format!("not YAML: {}", error.message))],
    };
    if documents.is_empty() {
        let lacks = "it says nothing; remove it, or rename it";
        return vec![Mistake::of_file(path, lacks)];
    }
    let wrong = documents
        .iter()
        .filter_map(|document| Some(mistake(document.line, lacks(&document.value)?)));
    wrong.collect()
}

/// What an object lacks, without which no API server takes it.
fn lacks(object: &Value) -> Option<String> {
    if !object.is_object() {
        return Some(
            "a manifest is a mapping, with `apiVersion`, `kind` and `metadata`".to_owned(),
        );
    }
    let is_text = |value: &Value| value.as_str().is_some_and(|text| !text.is_empty());
    for key in ["apiVersion", "kind"] {
        if !is_text(&object[key]) {
            return Some(format!("`{key}` is missing"));
        }
    }
    let kind = object["kind"].as_str().unwrap_or_default();
    if object["apiVersion"] == "regent/v1" {
        return Some("this is a cluster's file, not a manifest".to_owned());
    }
    if object["apiVersion"]
        .as_str()?
        .starts_with("kustomize.config.k8s.io/")
    {
        return Some(
            "a kustomization is not applied; write out what it makes: kubectl kustomize".to_owned(),
        );
    }
    if kind.ends_with("List") && object["items"].is_array() {
        return object["items"].as_array()?.iter().find_map(lacks);
    }
    if is_text(&object["metadata"]["name"]) {
        return None;
    }
    Some(match object["metadata"]["generateName"].is_null() {
        true => format!("the {kind} has no `metadata.name`"),
        false => format!(
            "the {kind} has a `generateName`, and would be another one each time; give it a `name`"
        ),
    })
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;

    fn written(files: &[(&str, &str)]) -> (tempfile::TempDir, Utf8PathBuf) {
        let scratch = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(scratch.path().to_owned()).unwrap();
        std::fs::create_dir(root.join("apps")).unwrap();
        for (name, text) in files {
            std::fs::write(root.join(name), text).unwrap();
        }
        (scratch, root)
    }

    const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n";

    #[test]
    fn manifests_come_in_the_order_of_their_names() {
        let (_scratch, root) = written(&[
            ("apps/20-b.yml", MAP),
            ("apps/10-a.yaml", MAP),
            ("apps/README.md", "not a manifest"),
        ]);
        let read = read(&root.join("apps"), &root.join("cluster.yaml")).unwrap();
        let names: Vec<_> = read.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["10-a.yaml", "20-b.yml"]);
    }

    #[test]
    fn what_could_never_be_applied_is_said_with_its_place() {
        let list = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Secret\n";
        let (_scratch, root) = written(&[
            (
                "apps/1.yaml",
                &format!("{MAP}---\nkind: Secret\nmetadata: {{name: b}}\n"),
            ),
            ("apps/2.yaml", "# later\n"),
            ("apps/3.yaml", "a: b: c\n"),
            ("apps/4.yaml", "hello\n"),
            (
                "apps/5.yaml",
                "apiVersion: v1\nkind: Pod\nmetadata: {generateName: p-}\n",
            ),
            ("apps/6.yaml", list),
            (
                "apps/7.yaml",
                "apiVersion: regent/v1\nname: demo\nkind: x\n",
            ),
            ("apps/kustomization.yaml", "resources: []\n"),
        ]);
        let error = read(&root.join("apps"), &root.join("cluster.yaml")).unwrap_err();
        let said = error.to_string().replace(root.as_str(), "");
        for expected in [
            "/apps/1.yaml:5: `apiVersion` is missing",
            "/apps/2.yaml: it says nothing",
            "/apps/3.yaml:1: not YAML",
            "/apps/4.yaml:1: a manifest is a mapping",
            "/apps/5.yaml:1: the Pod has a `generateName`",
            "/apps/6.yaml:1: the Secret has no `metadata.name`",
            "/apps/7.yaml:1: this is a cluster's file",
            "/apps/kustomization.yaml: a kustomization is not applied",
        ] {
            assert!(said.contains(expected), "{expected} in {said}");
        }
        assert_eq!(said.lines().count(), 8);
    }

    #[test]
    fn the_cluster_s_own_directory_is_none_of_manifests() {
        let (_scratch, root) = written(&[("cluster.yaml", ""), ("a.yaml", MAP)]);
        for directory in [".", "apps/..", ""] {
            let error = read(&root.join(directory), &root.join("cluster.yaml")).unwrap_err();
            assert!(matches!(error, BesideError::Own(_)), "{error}");
        }
    }
}
