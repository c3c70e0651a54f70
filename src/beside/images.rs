//! Archives of container images for every node: OCI layouts or `docker save`, as tar files.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader, Read};

use camino::{Utf8Path, Utf8PathBuf};
use serde::Deserialize;

use super::{BesideError, Mistake, sound, unreadable};
use crate::plan::ImageArchive;
use crate::store::{Sha256, Sha256Writer};

/// An index has some kilobytes; what is longer is none.
const MAX_INDEX: u64 = 1 << 20;

/// `manifest.json`, as `docker save` writes it.
#[derive(Deserialize)]
struct Saved {
    #[serde(rename = "RepoTags")]
    tags: Option<Vec<String>>,
}

/// `index.json` of an OCI layout.
#[derive(Deserialize)]
struct Index {
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Descriptor {
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

/// Looks at the archives of a cluster's file, whose directory is `root`.
///
/// # Errors
/// When one cannot be read, or no pod could name what is in it.
pub(super) fn read(
    root: &Utf8Path,
    archives: &[Utf8PathBuf],
) -> Result<Vec<ImageArchive>, BesideError> {
    let (mut found, mut mistakes): (Vec<ImageArchive>, _) = (Vec::new(), Vec::new());
    for archive in archives {
        let path = root.join(archive);
        match look(&path).map_err(unreadable(&path))? {
            Ok((sha256, names)) => found.push(ImageArchive {
                file: archive.clone(),
                source: path,
                sha256: sha256.to_string(),
                names,
            }),
            Err(message) => mistakes.push(Mistake::of_file(&path, message)),
        }
    }
    sound(found, mistakes)
}

/// The archive's hash and the names of its images, or what is wrong with it.
fn look(path: &Utf8Path) -> io::Result<Result<(Sha256, BTreeSet<String>), String>> {
    let mut hash = Sha256Writer::new(io::sink());
    io::copy(&mut File::open(path)?, &mut hash)?;
    let (_, sha256, _) = hash.finish();
    let names = contents(path)?.and_then(|contents| contents.names());
    Ok(names.map(|names| (sha256, names)))
}

/// What an archive says of its images.
#[derive(Default)]
struct Contents {
    /// Whether it says that it is an OCI layout. containerd then reads `index.json`, and otherwise `manifest.json`.
    layout: bool,
    index: Option<Vec<u8>>,
    saved: Option<Vec<u8>>,
}

fn contents(path: &Utf8Path) -> io::Result<Result<Contents, String>> {
    let mut tar = tar::Archive::new(BufReader::new(File::open(path)?));
    let mut contents = Contents::default();
    for entry in tar.entries()? {
        let Ok(entry) = entry else {
            let hint = "it is no whole tar archive; a compressed one is to be unpacked: gunzip";
            return Ok(Err(hint.to_owned()));
        };
        let file = entry.path_bytes().into_owned();
        let text = match file.strip_prefix(b"./").unwrap_or(&file) {
            b"oci-layout" => {
                contents.layout = true;
                continue;
            }
            b"index.json" => &mut contents.index,
            b"manifest.json" => &mut contents.saved,
            _ => continue,
        };
        entry.take(MAX_INDEX).read_to_end(text.insert(Vec::new()))?;
    }
    Ok(Ok(contents))
}

impl Contents {
    /// The names under which containerd will have the images, or why no pod could use them.
    fn names(self) -> Result<BTreeSet<String>, String> {
        let (file, names) = match self {
            Self {
                layout: true,
                index: Some(text),
                ..
            } => ("index.json", of_index(&text)),
            Self {
                layout: false,
                saved: Some(text),
                ..
            } => ("manifest.json", of_saved(&text)),
            _ => {
                let lacks =
                    "it holds no images: neither oci-layout and index.json nor manifest.json";
                return Err(lacks.to_owned());
            }
        };
        let names = names.map_err(|error| format!("its {file} is damaged: {error}"))?;
        // Every other name is one that no pod's is written out to.
        let usable = names.iter().filter(|&name| full(name) == *name);
        let usable: BTreeSet<_> = usable.cloned().collect();
        match (usable.is_empty(), names.first()) {
            (false, _) => Ok(usable),
            (true, Some(name)) => Err(format!(
                "its image is called `{name}`, and a pod's would be `{}`; save it by that name",
                full(name)
            )),
            (true, None) => Err(
                "its images have no name that a pod could use; save them by name and tag"
                    .to_owned(),
            ),
        }
    }
}

/// containerd writes these names out.
fn of_saved(text: &[u8]) -> serde_json::Result<Vec<String>> {
    let all: Vec<Saved> = serde_json::from_slice(text)?;
    let tags = all
        .into_iter()
        .flat_map(|saved| saved.tags.unwrap_or_default());
    Ok(tags.map(|tag| full(&tag)).collect())
}

/// containerd takes its own annotation for an image's name, else the specification's unless that is a mere tag, as it is
/// written.
fn of_index(text: &[u8]) -> serde_json::Result<Vec<String>> {
    let index: Index = serde_json::from_slice(text)?;
    let names = index.manifests.into_iter().filter_map(|manifest| {
        let said = |key: &str| manifest.annotations.get(key).cloned();
        let named = |name: &String| name.contains(['/', ':', '@']);
        said("io.containerd.image.name")
            .or_else(|| said("org.opencontainers.image.ref.name").filter(named))
    });
    Ok(names.collect())
}

/// A name written out, as kubelet asks containerd for it: `app` is `docker.io/library/app:latest`.
fn full(name: &str) -> String {
    let (host, path) = match name.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host, path),
        _ => ("docker.io", name),
    };
    let library = match host == "docker.io" && !path.contains('/') {
        true => "library/",
        false => "",
    };
    let tag = match path.contains(':') {
        true => "",
        false => ":latest",
    };
    format!("{host}/{library}{path}{tag}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(files: &[(&str, &str)]) -> Result<Vec<String>, String> {
        let scratch = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(scratch.path().to_owned()).unwrap();
        let mut tar = tar::Builder::new(File::create(root.join("app.tar")).unwrap());
        for (name, text) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            tar.append_data(&mut header, name, text.as_bytes()).unwrap();
        }
        tar.finish().unwrap();
        match read(&root, &["app.tar".into()]) {
            Ok(archives) => Ok(archives[0].names.iter().cloned().collect()),
            Err(error) => Err(error.to_string().replace(root.as_str(), "")),
        }
    }

    const LAYOUT: (&str, &str) = ("oci-layout", r#"{"imageLayoutVersion": "1.0.0"}"#);

    /// As containerd 1.7.24 has named them.
    #[test]
    fn images_are_named_as_containerd_names_them() {
        let saved = r#"[{"Config": "c", "RepoTags": ["app:1", "me/app:1", "localhost/x:1", "old"]}, {"RepoTags": null}]"#;
        assert_eq!(
            said(&[("layer", "x"), ("manifest.json", saved)]).unwrap(),
            [
                "docker.io/library/app:1",
                "docker.io/library/old:latest",
                "docker.io/me/app:1",
                "localhost/x:1"
            ]
        );
        let index = r#"{"manifests": [
            {"annotations": {"io.containerd.image.name": "registry.example.com/a:1", "org.opencontainers.image.ref.name": "1"}},
            {"annotations": {"org.opencontainers.image.ref.name": "example.com:5000/b:2"}},
            {"annotations": {"org.opencontainers.image.ref.name": "me/c:1"}},
            {"annotations": {"org.opencontainers.image.ref.name": "latest"}}]}"#;
        let expected = ["example.com:5000/b:2", "registry.example.com/a:1"];
        let layout = [("./oci-layout", LAYOUT.1), ("./index.json", index)];
        assert_eq!(said(&layout).unwrap(), expected);
        // `docker save` writes both, and containerd reads the one.
        let both = [("manifest.json", saved), ("index.json", index), LAYOUT];
        assert_eq!(said(&both).unwrap(), expected);
        assert_eq!(said(&both[..2]).unwrap().len(), 4);
    }

    #[test]
    fn what_no_pod_could_use_is_said() {
        let short = r#"{"manifests": [{"annotations": {"io.containerd.image.name": "me/app:1"}}]}"#;
        for (files, expected) in [
            (&[("layer", "x")][..], "/app.tar: it holds no images"),
            (&[LAYOUT], "/app.tar: it holds no images"),
            (&[("index.json", "{}")], "/app.tar: it holds no images"),
            (
                &[LAYOUT, ("index.json", r#"{"manifests": [{}]}"#)],
                "/app.tar: its images have no name",
            ),
            (
                &[LAYOUT, ("index.json", short)],
                "/app.tar: its image is called `me/app:1`, and a pod's would be `docker.io/me/app:1`",
            ),
            (
                &[("manifest.json", "{")],
                "/app.tar: its manifest.json is damaged",
            ),
        ] {
            let said = said(files).unwrap_err();
            assert!(said.starts_with(expected), "{said}");
        }
        let scratch = tempfile::tempdir().unwrap();
        let root = Utf8PathBuf::from_path_buf(scratch.path().to_owned()).unwrap();
        let error = read(&root, &["none.tar".into()]).unwrap_err();
        assert!(matches!(error, BesideError::Read { .. }), "{error}");
        std::fs::write(root.join("a.tar"), vec![31_u8; 2048]).unwrap();
        let error = read(&root, &["a.tar".into()]).unwrap_err().to_string();
        assert!(error.contains("no whole tar archive"), "{error}");
    }
}
