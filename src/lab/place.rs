//! Where a lab's nodes live.

use std::io;
use std::net::SocketAddrV4;
use std::process::Command;
use std::sync::Arc;

use camino::{Utf8Path, Utf8PathBuf};

use super::holder::{HOST, Holder, LAB};
use super::record::{Connection, Record};
use super::{LabError, LabPaths, RemoteHost, mounts};
use crate::event::Events;
use crate::name::{LabId, NodeName};
use crate::spec::RemoteUri;

/// Where a lab's nodes live and how to get there: what a provider needs of a lab. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) paths: LabPaths,
    /// What tells the lab from every other.
    pub(crate) id: LabId,
    /// The lab's libvirt.
    pub(crate) uri: String,
    /// None in a libvirt that is not the lab's own: the nodes then live in the host's namespaces.
    pub(crate) holder: Option<Holder>,
    /// The host that has the nodes, where it is another one.
    pub(crate) remote: Option<Arc<RemoteHost>>,
}

impl Place {
    /// Returns a node's directory, as the lab's libvirt sees it.
    pub(crate) fn node(&self, node: &NodeName) -> Utf8PathBuf {
        match self.holder {
            Some(_) => Utf8PathBuf::from(LAB).join("nodes").join(node.as_str()),
            None => self.paths.node(node),
        }
    }

    /// Returns a path of the host, as the lab's libvirt sees it.
    pub(crate) fn host(&self, path: &Utf8Path) -> Utf8PathBuf {
        match self.holder {
            Some(_) => Utf8PathBuf::from(format!("{HOST}{path}")),
            None => path.to_owned(),
        }
    }

    /// Returns where something is mounted in the mount namespace of the lab's libvirt.
    pub(crate) fn mounts(&self) -> io::Result<Vec<Utf8PathBuf>> {
        let process = self
            .holder
            .map_or_else(std::process::id, |holder| holder.0.pid);
        Ok(mounts::of(process)?
            .into_iter()
            .map(|mount| mount.point)
            .collect())
    }

    /// Returns a command that runs where the lab's libvirt runs.
    pub(crate) fn command(&self, program: &str) -> Command {
        match self.holder {
            Some(holder) => holder.command(program),
            None => Command::new(program),
        }
    }
}

impl Record {
    pub(super) fn place(&self, paths: &LabPaths, remote: Option<Arc<RemoteHost>>) -> Place {
        self.connection.place(paths, &self.id, remote)
    }
}

impl Connection {
    pub(super) fn place(
        &self,
        paths: &LabPaths,
        id: &LabId,
        remote: Option<Arc<RemoteHost>>,
    ) -> Place {
        let holder = self.holder.map(Holder);
        // A driver's name is libvirt's word for it.
        let driver = self.driver;
        let uri = match (&self.uri, holder) {
            (Some(uri), _) => remote
                .as_ref()
                .map_or_else(|| uri.clone(), |host| host.libvirt_uri()),
            (None, Some(holder)) => format!(
                "{driver}:///system?socket={}/libvirt-sock",
                holder.runtime_directory()
            ),
            (None, None) => format!("{driver}:///system"),
        };
        Place {
            paths: paths.clone(),
            id: id.clone(),
            uri,
            holder,
            remote,
        }
    }
}

/// Logs in to the host of a libvirt, where that is not this machine.
pub(super) fn log_in(
    paths: &LabPaths,
    uri: Option<&str>,
    reachable: &[SocketAddrV4],
    events: &Events,
) -> Result<Option<Arc<RemoteHost>>, LabError> {
    // What is on record was valid once.
    let uri = uri.and_then(|uri| uri.parse::<RemoteUri>().ok());
    let host = uri.map(|uri| RemoteHost::log_in(&uri, reachable, paths.root(), events));
    Ok(host.transpose()?.map(Arc::new))
}
