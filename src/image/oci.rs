//! Container images, assembled by regent itself: one archive in the OCI layout, with layers that are plain tar.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};
use serde_json::json;

use crate::store::{Build, BuildError, Builder, Derivation, Encoding, Sha256, Sha256Writer, at};

/// An image of binaries, perhaps upon a tree of programs and libraries.
#[derive(Debug)]
pub(super) struct OciImage {
    /// Its name in a node's containerd.
    pub reference: String,
    /// What runs when the pod does not say.
    pub entrypoint: Vec<String>,
    /// The lowest layer.
    pub base: Option<Arc<Derivation>>,
    /// The files of the upper layer, mode 0755: path below the root, and where the content comes from.
    pub files: Vec<(String, Arc<Derivation>)>,
}

impl Builder for OciImage {
    fn encode(&self, encoding: &mut Encoding) {
        encoding
            .text("oci-image/1")
            .text(&self.reference)
            .texts(&self.entrypoint);
        encoding.number(self.base.is_some().into());
        encoding.list(self.files.iter(), |encoding, (path, _)| {
            _ = encoding.text(path);
        });
    }

    fn inputs(&self) -> Vec<Arc<Derivation>> {
        self.base
            .iter()
            .chain(self.files.iter().map(|(_, file)| file))
            .cloned()
            .collect()
    }

    fn build(&self, build: &Build<'_>) -> Result<(), BuildError> {
        let mut layers = Vec::new();
        if let Some(base) = &self.base {
            let tree = build.input(base);
            layers.push(Blob::layer(&build.scratch.join("base"), |tar| {
                append_tree(tar, tree.as_std_path())
            })?);
        }
        layers.push(Blob::layer(&build.scratch.join("files"), |tar| {
            self.files
                .iter()
                .try_for_each(|(path, file)| append_binary(tar, path, &build.input(file)))
        })?);
        self.archive(&build.out, &layers).map_err(at(&build.out))?;
        Ok(())
    }
}

impl OciImage {
    /// Writes the layers and what describes them.
    fn archive(&self, out: &Utf8Path, layers: &[Blob]) -> io::Result<()> {
        let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
        let digests: Vec<String> = layers.iter().map(Blob::digest).collect();
        let config = json!({
            "architecture": "amd64",
            "config": { "Entrypoint": self.entrypoint, "Env": [path] },
            "os": "linux",
            "rootfs": { "diff_ids": digests, "type": "layers" },
        });
        let config = config.to_string();
        let manifest = json!({
            "config": described("application/vnd.oci.image.config.v1+json", config.as_bytes()),
            "layers": layers.iter().map(Blob::describe).collect::<Vec<_>>(),
            "mediaType": MANIFEST,
            "schemaVersion": 2,
        });
        let manifest = manifest.to_string();
        let mut entry = described(MANIFEST, manifest.as_bytes());
        entry["annotations"] = json!({ "io.containerd.image.name": self.reference, "org.opencontainers.image.ref.name": self.reference });
        let index = json!({ "manifests": [entry], "schemaVersion": 2 });

        let mut tar = tar::Builder::new(io::BufWriter::new(File::create(out)?));
        append_bytes(
            &mut tar,
            "oci-layout",
            json!({ "imageLayoutVersion": "1.0.0" })
                .to_string()
                .as_bytes(),
        )?;
        append_bytes(&mut tar, "index.json", index.to_string().as_bytes())?;
        for text in [&config, &manifest] {
            append_bytes(
                &mut tar,
                &blob_path(Sha256::of(text.as_bytes())),
                text.as_bytes(),
            )?;
        }
        for layer in layers {
            append(
                &mut tar,
                &blob_path(layer.sha256),
                0o644,
                layer.size,
                File::open(&layer.file)?,
            )?;
        }
        tar.into_inner()?.flush()
    }
}

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn blob_path(sha256: Sha256) -> String {
    format!("blobs/sha256/{sha256}")
}

fn described(media_type: &str, bytes: &[u8]) -> serde_json::Value {
    json!({ "digest": format!("sha256:{}", Sha256::of(bytes)), "mediaType": media_type, "size": bytes.len() })
}

/// A layer on disk.
struct Blob {
    file: Utf8PathBuf,
    sha256: Sha256,
    size: u64,
}

type Tar = tar::Builder<Sha256Writer<io::BufWriter<File>>>;

impl Blob {
    fn layer(
        file: &Utf8Path,
        append: impl FnOnce(&mut Tar) -> io::Result<()>,
    ) -> Result<Self, BuildError> {
        let write = || {
            let mut tar =
                tar::Builder::new(Sha256Writer::new(io::BufWriter::new(File::create(file)?)));
            append(&mut tar)?;
            let (mut inner, sha256, size) = tar.into_inner()?.finish();
            inner.flush()?;
            Ok(Self {
                file: file.to_owned(),
                sha256,
                size,
            })
        };
        Ok(write().map_err(at(file))?)
    }

    fn digest(&self) -> String {
        format!("sha256:{}", self.sha256)
    }

    fn describe(&self) -> serde_json::Value {
        json!({ "digest": self.digest(), "mediaType": "application/vnd.oci.image.layer.v1.tar", "size": self.size })
    }
}

fn append_bytes<W: Write>(tar: &mut tar::Builder<W>, path: &str, bytes: &[u8]) -> io::Result<()> {
    append(tar, path, 0o644, bytes.len() as u64, bytes)
}

fn append_binary<W: Write>(
    tar: &mut tar::Builder<W>,
    path: &str,
    file: &Utf8Path,
) -> io::Result<()> {
    let file = File::open(file)?;
    append(tar, path, 0o755, file.metadata()?.len(), file)
}

fn append<W: Write>(
    tar: &mut tar::Builder<W>,
    path: &str,
    mode: u32,
    size: u64,
    content: impl Read,
) -> io::Result<()> {
    let mut header = header(tar::EntryType::Regular, mode);
    header.set_size(size);
    tar.append_data(&mut header, path, content)
}

/// A header that says nothing about when and by whom.
fn header(kind: tar::EntryType, mode: u32) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header
}

/// Appends everything below `top`, parents first, siblings in the order of their names.
fn append_tree<W: Write>(tar: &mut tar::Builder<W>, top: &Path) -> io::Result<()> {
    fn visit<W: Write>(tar: &mut tar::Builder<W>, top: &Path, below: &Path) -> io::Result<()> {
        let mut names = fs::read_dir(top.join(below))?
            .map(|entry| Ok(entry?.file_name()))
            .collect::<io::Result<Vec<_>>>()?;
        names.sort();
        for name in names {
            let path: PathBuf = below.join(name);
            let source = top.join(&path);
            let metadata = fs::symlink_metadata(&source)?;
            let entry = |kind| {
                let mut header = header(kind, metadata.mode() & 0o7777);
                header.set_uid(metadata.uid().into());
                header.set_gid(metadata.gid().into());
                header
            };
            if metadata.is_dir() {
                tar.append_data(&mut entry(tar::EntryType::Directory), &path, io::empty())?;
                visit(tar, top, &path)?;
            } else if metadata.is_symlink() {
                tar.append_link(
                    &mut entry(tar::EntryType::Symlink),
                    &path,
                    fs::read_link(&source)?,
                )?;
            } else if metadata.is_file() {
                let mut header = entry(tar::EntryType::Regular);
                header.set_size(metadata.len());
                tar.append_data(&mut header, &path, File::open(&source)?)?;
            } else {
                // A device cannot be unpacked in a node, and a socket is nobody's.
                return Err(io::Error::other(format!(
                    "{} is neither file, directory nor link",
                    source.display()
                )));
            }
        }
        Ok(())
    }
    visit(tar, top, Path::new(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes an image of a small tree and a binary, and returns the archive's bytes.
    fn image(directory: &Path) -> Vec<u8> {
        let tree = directory.join("tree");
        fs::create_dir_all(tree.join("usr/bin")).unwrap();
        fs::write(tree.join("usr/bin/nft"), "nft").unwrap();
        std::os::unix::fs::symlink("usr/bin", tree.join("bin")).unwrap();
        let directory = Utf8Path::from_path(directory).unwrap();
        let binary = directory.join("binary");
        fs::write(&binary, "binary").unwrap();
        let image = OciImage {
            reference: "example/app:1".into(),
            entrypoint: vec!["/app".into()],
            base: None,
            files: vec![],
        };
        let layers = [
            Blob::layer(&directory.join("base"), |tar| append_tree(tar, &tree)).unwrap(),
            Blob::layer(&directory.join("files"), |tar| {
                append_binary(tar, "app", &binary)
            })
            .unwrap(),
        ];
        let out = directory.join("out.tar");
        image.archive(&out, &layers).unwrap();
        fs::read(out).unwrap()
    }

    #[test]
    fn an_image_is_the_same_bits_wherever_and_whenever_it_is_made() {
        let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        assert_eq!(image(one.path()), image(two.path()));
    }

    #[test]
    fn every_blob_is_what_its_name_says_and_every_name_leads_to_a_blob() {
        let directory = tempfile::tempdir().unwrap();
        let bytes = image(directory.path());
        let mut archive = tar::Archive::new(bytes.as_slice());
        let mut files = std::collections::BTreeMap::new();
        for entry in archive.entries().unwrap() {
            let mut entry = entry.unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            files.insert(entry.path().unwrap().to_str().unwrap().to_owned(), content);
        }
        for (path, content) in files.iter().filter(|(path, _)| path.starts_with("blobs/")) {
            assert_eq!(*path, blob_path(Sha256::of(content)));
        }
        let follow = |digest: &serde_json::Value| {
            let digest = digest.as_str().unwrap().strip_prefix("sha256:").unwrap();
            files[&format!("blobs/sha256/{digest}")].as_slice()
        };
        let index: serde_json::Value = serde_json::from_slice(&files["index.json"]).unwrap();
        assert_eq!(
            index["manifests"][0]["annotations"]["io.containerd.image.name"],
            "example/app:1"
        );
        let manifest: serde_json::Value =
            serde_json::from_slice(follow(&index["manifests"][0]["digest"])).unwrap();
        let config: serde_json::Value =
            serde_json::from_slice(follow(&manifest["config"]["digest"])).unwrap();
        assert_eq!(
            config["rootfs"]["diff_ids"][1],
            manifest["layers"][1]["digest"]
        );
        let mut base = tar::Archive::new(follow(&manifest["layers"][0]["digest"]));
        let paths: Vec<_> = base
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().into_owned())
            .collect();
        assert_eq!(
            paths,
            ["bin", "usr", "usr/bin", "usr/bin/nft"].map(PathBuf::from)
        );
    }
}
