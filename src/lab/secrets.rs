//! What only this lab may know. Generated once from the operating system's randomness, kept 0600, never printed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{LabError, LabPaths};
use crate::file;
use crate::name::NodeName;
use crate::node::KeyPair;

/// The lab's secrets. `Debug` shows nothing of them.
#[derive(Clone, Serialize, Deserialize)]
pub struct Secrets {
    /// regent's own key, authorised for root on every node.
    pub client: KeyPair,
    /// Each node's host key.
    pub hosts: NodeKeys,
}

/// Each node's host key.
pub type NodeKeys = BTreeMap<NodeName, KeyPair>;

impl Secrets {
    /// Reads the lab's secrets and makes what they lack: all of them the first time, later a new node's key.
    pub(super) fn ensure<'a>(
        paths: &LabPaths,
        nodes: impl Iterator<Item = &'a NodeName>,
    ) -> Result<Self, LabError> {
        let known = Self::load(paths)?;
        let mut secrets = match known.clone() {
            Some(secrets) => secrets,
            None => Self {
                client: KeyPair::generate(&format!("regent@{}", paths.cluster()))?,
                hosts: NodeKeys::new(),
            },
        };
        for node in nodes {
            if !secrets.hosts.contains_key(node) {
                let key = KeyPair::generate(&format!("{}-{node}", paths.cluster()))?;
                secrets.hosts.insert(node.clone(), key);
            }
        }
        if known.is_none_or(|known| known.hosts.len() < secrets.hosts.len()) {
            let path = paths.secrets();
            file::write_json(&path, &secrets).map_err(LabError::io("writing", &path))?;
        }
        Ok(secrets)
    }

    /// Reads the lab's secrets, if there are any.
    pub(super) fn load(paths: &LabPaths) -> Result<Option<Self>, LabError> {
        Ok(file::read_json(&paths.secrets())?)
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn case_secrets_damaged_ones_are_an_error_and_stay_as_they_are() {
        let directory = tempfile::tempdir().unwrap();
        let state = camino::Utf8Path::from_path(directory.path()).unwrap();
        let paths = LabPaths::new(state, &"demo".parse().unwrap());
        std::fs::create_dir_all(paths.root()).unwrap();
        let nodes: Vec<NodeName> = vec!["m1".parse().unwrap()];
        Secrets::ensure(&paths, nodes.iter()).unwrap();
        let whole = std::fs::read(paths.secrets()).unwrap();
        let half = &whole[..whole.len() / 2];
        std::fs::write(paths.secrets(), half).unwrap();
        for error in [
            Secrets::load(&paths).unwrap_err(),
            Secrets::ensure(&paths, nodes.iter()).unwrap_err(),
        ] {
            assert!(error.to_string().contains(paths.secrets().as_str()));
        }
        assert_eq!(std::fs::read(paths.secrets()).unwrap(), half);
    }

    #[test]
    fn secrets_are_made_once_kept_private_and_grow_with_the_plan() {
        let directory = tempfile::tempdir().unwrap();
        let state = camino::Utf8Path::from_path(directory.path()).unwrap();
        let paths = LabPaths::new(state, &"demo".parse().unwrap());
        std::fs::create_dir_all(paths.root()).unwrap();
        let nodes: Vec<NodeName> = ["m1", "w1"].map(|name| name.parse().unwrap()).into();

        let first = Secrets::ensure(&paths, nodes[..1].iter()).unwrap();
        let second = Secrets::ensure(&paths, nodes.iter()).unwrap();
        assert!(first.client == second.client && first.hosts[&nodes[0]] == second.hosts[&nodes[0]]);
        assert_eq!(second.hosts.len(), 2);
        assert_eq!(format!("{second:?}"), "Secrets(…)");
        let mode = std::fs::metadata(paths.secrets())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
