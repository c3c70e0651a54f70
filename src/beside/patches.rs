//! kubeadm's patches. It ignores a file whose name it does not understand, and finds a mistake in one only on the node: both
//! are said here, before anything is built.

use camino::Utf8Path;
use serde_json::Value;

use super::{BesideError, Mistake, entries, sound, unreadable};
use crate::yaml;

/// What kubeadm patches (`cmd/kubeadm/app/util/patches` of 1.35).
const TARGETS: [&str; 6] = [
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubeletconfiguration",
    "corednsdeployment",
];

/// How a patch is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A part of the object, merged into it (`strategic`, `merge`).
    Part,
    /// A list of operations (`json`).
    Operations,
}

/// Reads the patches of `directory`: name and text, in the order in which kubeadm takes them.
///
/// # Errors
/// When something cannot be read, or kubeadm would ignore it or fail on it.
pub(super) fn read(directory: &Utf8Path) -> Result<Vec<(String, String)>, BesideError> {
    let (mut patches, mut mistakes) = (Vec::new(), Vec::new());
    for (name, path) in entries(directory)? {
        if name.starts_with('.') {
            continue;
        }
        let mut wrong = |line, message| {
            mistakes.push(Mistake {
                file: path.clone(),
                line,
                message,
            });
        };
        match kind(&name) {
            _ if path.is_dir() => wrong(0, "kubeadm's patches stand in one directory".to_owned()),
            Err(message) => wrong(0, message),
            Ok(kind) => {
                let text = std::fs::read_to_string(&path).map_err(unreadable(&path))?;
                if let Err((line, message)) = check(kind, &text) {
                    wrong(line, message);
                }
                patches.push((name, text));
            }
        }
    }
    if patches.is_empty() && mistakes.is_empty() {
        let lacks = "it has no patch, such as `kube-apiserver.yaml`";
        mistakes.push(Mistake::of_file(directory, lacks));
    }
    sound(patches, mistakes)
}

/// What a file's name says: `TARGET[SUFFIX][+TYPE].EXTENSION`.
fn kind(name: &str) -> Result<Kind, String> {
    let stem = name.strip_suffix(".yaml").or(name.strip_suffix(".json"));
    let Some(stem) = stem else {
        return Err("a patch ends in .yaml or .json".to_owned());
    };
    let Some(rest) = TARGETS.iter().find_map(|target| stem.strip_prefix(target)) else {
        return Err(format!(
            "kubeadm patches {}: the name begins with one of them",
            TARGETS.join(", ")
        ));
    };
    let plain = |char: char| char.is_ascii_alphanumeric() || "-_+=@%,:".contains(char);
    if !rest.chars().all(|char| plain(char) || char == '.') {
        return Err("a patch's name is made of letters, digits and `-_+=@%,:`".to_owned());
    }
    if rest.contains('.') {
        return Err("kubeadm takes no further dot in a patch's name".to_owned());
    }
    match rest.split_once('+') {
        None | Some((_, "strategic" | "merge")) => Ok(Kind::Part),
        Some((_, "json")) => Ok(Kind::Operations),
        Some((_, other)) => Err(format!(
            "`{other}` is no type of patch: strategic, merge or json"
        )),
    }
}

/// Whether the text can be such patches, one a document: the line and what is wrong if not.
fn check(kind: Kind, text: &str) -> Result<(), (usize, String)> {
    let documents = yaml::documents(text)
        .map_err(|error| (error.line, format!("not YAML: {}", error.message)))?;
    if documents.is_empty() {
        return Err((0, "it says nothing; remove it".to_owned()));
    }
    documents.iter().try_for_each(|document| {
        lacks(kind, &document.value).map_or(Ok(()), |why| Err((document.line, why.to_owned())))
    })
}

/// What a patch lacks, without which it could not be applied.
fn lacks(kind: Kind, patch: &Value) -> Option<&'static str> {
    match (kind, patch) {
        (Kind::Part, Value::Object(_)) => None,
        (Kind::Part, _) => Some("a patch of this type is a mapping: a part of the object"),
        (Kind::Operations, Value::Array(all)) => {
            let sound = |one: &Value| one["op"].is_string() && one["path"].is_string();
            (!all.iter().all(sound))
                .then_some("every operation of a JSON patch has an `op` and a `path`")
        }
        (Kind::Operations, _) => Some("a JSON patch is a list of operations"),
    }
}

#[cfg(test)]
mod tests {
    use camino::Utf8PathBuf;

    use super::*;

    fn said(files: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let scratch = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(scratch.path().to_owned()).unwrap();
        for (name, text) in files {
            std::fs::create_dir_all(root.join(name).parent().unwrap()).unwrap();
            std::fs::write(root.join(name), text).unwrap();
        }
        match read(&root) {
            Ok(patches) => Ok(patches.into_iter().map(|(name, _)| name).collect()),
            Err(error) => Err(error.to_string().replace(root.as_str(), "")),
        }
    }

    const PART: &str = "metadata: {annotations: {a: b}}\n";
    const OPERATIONS: &str = "- {op: add, path: /metadata/annotations, value: {a: b}}\n";

    #[test]
    fn what_kubeadm_takes_is_taken_in_its_order() {
        let read = said(&[
            ("kubeletconfiguration.yaml", "maxPods: 50\n"),
            ("kube-apiserver1+merge.json", "{\"metadata\": {}}"),
            ("kube-apiserver0+json.yaml", OPERATIONS),
            ("etcd+strategic.yaml", PART),
            (
                "corednsdeployment.yaml",
                &format!("# Two.\n---\n{PART}---\n{PART}"),
            ),
            (".swp", "an editor's"),
        ]);
        let expected = [
            "corednsdeployment.yaml",
            "etcd+strategic.yaml",
            "kube-apiserver0+json.yaml",
            "kube-apiserver1+merge.json",
            "kubeletconfiguration.yaml",
        ];
        assert_eq!(read.unwrap(), expected);
    }

    #[test]
    fn what_kubeadm_would_ignore_or_fail_on_is_said() {
        let said = said(&[
            ("apiserver.yaml", PART),
            ("etcd.yml", PART),
            ("etcd+patch.yaml", PART),
            ("etcd.1.yaml", PART),
            ("etcd0.yaml", "a: b: c\n"),
            ("etcd1.yaml", "- a\n"),
            ("etcd2+json.yaml", PART),
            ("etcd3+json.yaml", "- {op: add}\n"),
            ("etcd4.yaml", "# nothing\n"),
            ("etcd6.yaml", &format!("{PART}---\n- a\n")),
            ("etcd 5.yaml", PART),
            ("more/etcd.yaml", PART),
        ])
        .unwrap_err();
        for expected in [
            "/apiserver.yaml: kubeadm patches etcd, kube-apiserver",
            "/etcd.yml: a patch ends in .yaml or .json",
            "/etcd+patch.yaml: `patch` is no type of patch",
            "/etcd.1.yaml: kubeadm takes no further dot",
            "/etcd0.yaml:1: not YAML",
            "/etcd1.yaml:1: a patch of this type is a mapping",
            "/etcd2+json.yaml:1: a JSON patch is a list",
            "/etcd3+json.yaml:1: every operation of a JSON patch",
            "/etcd4.yaml: it says nothing",
            "/etcd6.yaml:3: a patch of this type is a mapping",
            "/etcd 5.yaml: a patch's name is made of",
            "/more: kubeadm's patches stand in one directory",
        ] {
            assert!(said.contains(expected), "{expected} in {said}");
        }
        assert_eq!(said.lines().count(), 12);
    }

    #[test]
    fn a_directory_without_a_patch_is_a_mistake() {
        assert!(said(&[]).unwrap_err().contains("it has no patch"));
    }
}
