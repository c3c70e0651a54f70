//! Backups: made on a control-plane node, read again on this machine.

use std::io::{self, Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use crate::image::NodeImage;
use crate::name::{ClusterName, NodeName};
use crate::node::NodeFile;
use crate::plan::Plan;
use crate::recipe::lookup::session;
use crate::recipe::world::KEYS;
use crate::recipe::{RecipeError, control_plane};
use crate::render::backup::{ABOUT, FILES, FILES_OF_KUBEADM, SNAPSHOT, SUMS};
use crate::sha256::Sha256;
use crate::site::Site;

/// A snapshot of a lab's etcd takes a second; one of several gigabytes, on a slow disk, minutes.
const MADE: Duration = Duration::from_secs(600);

/// How every file that age wrote begins (age-encryption.org/v1).
const AGE: &[u8] = b"age-encryption.org/v1\n";

/// The version of what a backup says of itself that this regent reads.
const VERSION: u32 = 1;

/// A backup that was made, and is whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Backup {
    /// Where it is on the node.
    pub path: Utf8PathBuf,
    /// SHA-256 of the file.
    pub sha256: String,
    /// The revision of etcd's that it has.
    pub revision: u64,
}

/// Has a control-plane node make a backup now; which node, what it made, and the file. The lab's record is in it.
///
/// # Errors
/// When no control-plane node is whole, or it cannot be made or read.
pub async fn back_up(site: &Site) -> Result<(NodeName, Backup, Vec<u8>), RecipeError> {
    let path = site.lab.paths().record();
    let record = std::fs::read(&path).map_err(|source| RecipeError::File { path, source })?;
    let node = control_plane::member(site).await?;
    let on = session(site, &node)?;
    let made = on.command([FILES[0], "now"]).stdin(record).deadline(MADE);
    let said = made.run().await?;
    let wrong = |why: String| RecipeError::Mismatch(format!("the backup that {node} made {why}"));
    let last = said.lines().last().unwrap_or_default();
    let backup: Backup =
        serde_json::from_str(last).map_err(|error| wrong(format!("is not described: {error}")))?;
    let read = on.command(["cat", backup.path.as_str()]).deadline(MADE);
    let file = read.run_bytes().await?;
    if Sha256::of(&file).to_string() != backup.sha256 || !file.starts_with(AGE) {
        return Err(wrong("did not arrive as it was made".to_owned()));
    }
    Ok((node, backup, file))
}

/// What a backup says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The version of this description.
    pub version: u32,
    /// The cluster.
    pub cluster: ClusterName,
    /// The node that made it.
    pub node: NodeName,
    /// When, in the form `20261127T120000Z`.
    pub at: String,
    /// The version of Kubernetes, `v1.35.4`.
    pub kubernetes: String,
    /// The revision of etcd's that it has: what was acknowledged since is not in it.
    pub revision: u64,
    /// SHA-256 of the cluster's CA certificate.
    pub ca: String,
}

/// A backup, decrypted and checked. It has the cluster's keys: it stays in memory.
#[derive(Clone, PartialEq, Eq)]
pub struct OpenedBackup {
    /// What it says of itself.
    pub about: About,
    /// etcd's snapshot.
    pub(super) snapshot: Vec<u8>,
    /// The keys that everything else of kubeadm's is made of.
    pub(super) keys: Vec<NodeFile>,
}

/// Why a backup is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// It cannot be read.
    #[error("cannot read {path}")]
    Read {
        /// The file.
        path: Utf8PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// age does not decrypt it.
    #[error("age does not decrypt {path}: {said}")]
    Sealed {
        /// The file.
        path: Utf8PathBuf,
        /// What age says.
        said: String,
    },
    /// It is not what `regent backup` makes, or not all of it.
    #[error("{path} is damaged: {what}")]
    Damaged {
        /// The file.
        path: Utf8PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// It is another cluster's, or of another version.
    #[error("{path} is of {what}")]
    Other {
        /// The file.
        path: Utf8PathBuf,
        /// Of what.
        what: String,
    },
}

impl OpenedBackup {
    /// Decrypts a backup with the key in the file `identity`, by the age that nodes have too, and checks all of it.
    ///
    /// # Errors
    /// When it cannot be decrypted, is damaged, or is not of this plan's cluster.
    pub fn open(
        path: &Utf8Path,
        identity: &Utf8Path,
        image: &NodeImage,
        plan: &Plan,
    ) -> Result<Self, BackupError> {
        Self::read(path, &decrypted(path, identity, image)?, plan)
    }

    /// One of a cluster whose keys are these.
    #[cfg(test)]
    pub(super) fn of(plan: &Plan, key: impl Fn(&str) -> Vec<u8>) -> Self {
        let file = |name| (format!("kubernetes/{name}"), key(name));
        Self {
            about: About {
                version: VERSION,
                cluster: plan.cluster.clone(),
                node: plan.control_plane().next().unwrap().name.clone(),
                at: "20261127T120000Z".to_owned(),
                kubernetes: format!("v{}", plan.kubernetes),
                revision: 7,
                ca: "00".to_owned(),
            },
            snapshot: b"snapshot".to_vec(),
            keys: keys(KEYS.map(file).into()).unwrap(),
        }
    }

    /// Reads what was decrypted.
    fn read(path: &Utf8Path, archive: &[u8], plan: &Plan) -> Result<Self, BackupError> {
        let damaged = |what: String| BackupError::Damaged {
            path: path.to_owned(),
            what,
        };
        let files = unpacked(archive).map_err(|error| damaged(error.to_string()))?;
        let file = |name: &str| {
            let found = files.iter().find(|(known, _)| known == name);
            found
                .map(|(_, content)| content)
                .ok_or_else(|| damaged(format!("it has no {name}")))
        };
        let sums = String::from_utf8_lossy(file(SUMS)?);
        for line in sums.lines() {
            let (sum, name) = line
                .split_once("  ")
                .ok_or_else(|| damaged(format!("`{line}` in {SUMS}")))?;
            if Sha256::of(file(name)?).to_string() != sum {
                return Err(damaged(format!("{name} is not what it was")));
            }
        }
        for name in [ABOUT, SNAPSHOT, FILES_OF_KUBEADM] {
            if !sums
                .lines()
                .any(|line| line.ends_with(&format!("  {name}")))
            {
                return Err(damaged(format!("nothing says what {name} was")));
            }
        }
        let about: About = serde_json::from_slice(file(ABOUT)?)
            .map_err(|error| damaged(format!("{ABOUT}: {error}")))?;
        if let Some(what) = another(&about, plan) {
            let path = path.to_owned();
            return Err(BackupError::Other { path, what });
        }
        let kubeadm = unpacked(file(FILES_OF_KUBEADM)?)
            .map_err(|error| damaged(format!("{FILES_OF_KUBEADM}: {error}")))?;
        Ok(Self {
            about,
            snapshot: file(SNAPSHOT)?.clone(),
            keys: keys(kubeadm).map_err(damaged)?,
        })
    }
}

/// Of what a backup is, if not of the plan's cluster.
fn another(about: &About, plan: &Plan) -> Option<String> {
    let version = format!("v{}", plan.kubernetes);
    if about.version != VERSION {
        Some(format!("format {}: a later regent made it", about.version))
    } else if about.cluster != plan.cluster {
        Some(format!(
            "the cluster {}, not {}",
            about.cluster, plan.cluster
        ))
    } else if about.kubernetes != version {
        Some(format!("Kubernetes {}, not {version}", about.kubernetes))
    } else {
        None
    }
}

fn decrypted(
    path: &Utf8Path,
    identity: &Utf8Path,
    image: &NodeImage,
) -> Result<Vec<u8>, BackupError> {
    let read = |path: &Utf8Path| {
        std::fs::read(path).map_err(|source| BackupError::Read {
            path: path.to_owned(),
            source,
        })
    };
    let sealed = read(path)?;
    // age's own words for it name the flag.
    read(identity)?;
    let sealed_by = |said: String| BackupError::Sealed {
        path: path.to_owned(),
        said,
    };
    let mut child = Command::new(image.root.join("usr/bin/age"))
        .args(["--decrypt", "--identity", identity.as_str()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| sealed_by(error.to_string()))?;
    let input = child.stdin.take();
    let writer = std::thread::spawn(move || input.map(|mut input| input.write_all(&sealed)));
    let output = child.wait_with_output();
    // What age did not take it has a reason for.
    let _ = writer.join();
    let output = output.map_err(|error| sealed_by(error.to_string()))?;
    match output.status.success() {
        true => Ok(output.stdout),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            let line = said.lines().find(|line| line.starts_with("age: error"));
            Err(sealed_by(line.unwrap_or(&said).trim().to_owned()))
        }
    }
}

/// The files of a tar file, by their paths in it.
fn unpacked(archive: &[u8]) -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut archive = tar::Archive::new(archive);
    let mut files = Vec::new();
    for entry in archive.entries()? {
        let mut entry = entry?;
        if entry.header().entry_type().is_file() {
            let path = entry.path()?.to_string_lossy().into_owned();
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            files.push((path, content));
        }
    }
    Ok(files)
}

/// What kubeadm can make everything else of.
fn keys(kubeadm: Vec<(String, Vec<u8>)>) -> Result<Vec<NodeFile>, String> {
    let key = |name: &str| {
        let path = format!("kubernetes/{name}");
        let mut files = kubeadm.iter();
        let (_, content) = files
            .find(|(known, content)| *known == path && !content.is_empty())
            .ok_or_else(|| format!("{FILES_OF_KUBEADM} has no {name}"))?;
        Ok(NodeFile {
            path: Utf8Path::new("/etc/kubernetes").join(name),
            mode: if name.ends_with(".key") { 0o600 } else { 0o644 },
            content: content.clone(),
        })
    };
    KEYS.into_iter().map(key).collect()
}

#[cfg(test)]
mod tests;
