//! Another host, whose libvirt has the nodes: a way there, and from there to them. Nothing of it outlives this process.

mod error;
mod relay;
mod shell;
mod ssh;

use std::fmt;
use std::fs::File;
use std::net::SocketAddrV4;
use std::os::fd::AsRawFd as _;

use camino::{Utf8Path, Utf8PathBuf};

use crate::event::Events;
use crate::plan::{NodeRole, Plan};
use crate::spec::RemoteUri;
pub use error::RemoteError;
use relay::Relay;
use ssh::{Order, Ssh};

/// What this machine connects to on nodes: regent itself by SSH, to the API servers and their balancer, to etcd's members
/// and to kubelets; a user to what they like, as far as it is one of these.
const PORTS: [(u16, &[NodeRole]); 4] = {
    use NodeRole::{ControlPlane, LoadBalancer, Worker};
    [
        (22, &[LoadBalancer, ControlPlane, Worker]),
        (6443, &[LoadBalancer, ControlPlane]),
        (2379, &[ControlPlane]),
        (10250, &[ControlPlane, Worker]),
    ]
};

/// Returns the addresses and ports of a plan's nodes that can be reached from this machine.
pub(super) fn reachable(plan: &Plan) -> Vec<SocketAddrV4> {
    let of = |(port, roles): (u16, &'static [NodeRole])| {
        let nodes = plan.nodes.iter();
        nodes
            .filter(move |node| roles.contains(&node.role))
            .map(move |node| SocketAddrV4::new(node.address, port))
    };
    PORTS.into_iter().flat_map(of).collect()
}

/// Another host, logged in to as root.
pub(crate) struct RemoteHost {
    uri: RemoteUri,
    /// Who is told of what takes its time there.
    events: Events,
    // In the order in which they end.
    relay: Option<Relay>,
    ssh: Ssh,
    /// The socket that leads to the libvirt there.
    libvirt: Utf8PathBuf,
    /// `ssh`'s sockets and log; open, since their paths lead through it.
    _opened: File,
    _sockets: tempfile::TempDir,
}

impl RemoteHost {
    /// Logs in, on the calling thread's network. What is `reachable` answers in a network of its own from then on. This
    /// process's sockets go to a directory of their own below `directory`.
    pub(crate) fn log_in(
        uri: &RemoteUri,
        reachable: &[SocketAddrV4],
        directory: &Utf8Path,
        events: &Events,
    ) -> Result<Self, RemoteError> {
        let failed = RemoteError::relay;
        let sockets = tempfile::Builder::new()
            .prefix("ssh-")
            .tempdir_in(directory)
            .map_err(failed("making a directory for SSH's sockets"))?;
        let opened =
            File::open(sockets.path()).map_err(failed("opening the directory of SSH's sockets"))?;
        // Short, since a socket's path has 107 bytes at most.
        let short = Utf8PathBuf::from(descriptor(&opened));
        let libvirt = short.join("libvirt");
        let nodes: Vec<_> = reachable
            .iter()
            .map(|to| (*to, short.join(format!("{}-{}", to.ip(), to.port()))))
            .collect();
        let forwards = nodes
            .iter()
            .map(|(to, socket)| (to.to_string(), socket.clone()));
        let to_libvirt = (uri.socket().to_string(), libvirt.clone());
        let ssh = Ssh::start(Order {
            uri: uri.clone(),
            forwards: forwards.chain([to_libvirt]).collect(),
            log: short.join("log"),
        })?;
        if ssh.run("asking who is logged in", "id -u")?.trim() != "0" {
            let host = uri.host().to_owned();
            return Err(RemoteError::NotRoot { host });
        }
        let relay = match nodes.is_empty() {
            true => None,
            false => Some(Relay::start(nodes)?),
        };
        Ok(Self {
            uri: uri.clone(),
            events: events.clone(),
            relay,
            ssh,
            libvirt,
            _opened: opened,
            _sockets: sockets,
        })
    }

    /// The URI of the libvirt there, as its user wrote it.
    pub(crate) fn uri(&self) -> &RemoteUri {
        &self.uri
    }

    /// The URI by which this process reaches it: through the `ssh` that is there anyway. One that libvirt started would
    /// die of a Ctrl-C that is meant for regent.
    pub(crate) fn libvirt_uri(&self) -> String {
        format!("qemu:///system?socket={}", self.libvirt)
    }

    /// Who is told of what takes its time there.
    pub(crate) fn events(&self) -> &Events {
        &self.events
    }

    /// Runs a script there with `sh`; what it said. Nothing secret may stand in it.
    pub(crate) fn run(&self, doing: &'static str, script: &str) -> Result<String, RemoteError> {
        self.ssh.run(doing, script)
    }

    /// The network in which the nodes answer.
    pub(super) fn network(&self) -> Option<&File> {
        self.relay.as_ref().map(Relay::namespace)
    }
}

impl fmt::Debug for RemoteHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteHost({})", self.uri)
    }
}

/// The path by which other processes find an open file of this one.
pub(super) fn descriptor(file: &File) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derive::{self, Beside};
    use crate::spec::{ClusterSpec, Driver};

    #[test]
    fn a_node_is_reached_where_it_listens() {
        let mut spec = ClusterSpec::new("demo".parse().unwrap());
        (spec.control_plane.count, spec.workers.count) = (1, 1);
        let plan = derive::plan(&spec, Driver::Qemu, Beside::default());
        let found: Vec<_> = reachable(&plan).iter().map(ToString::to_string).collect();
        let expected = [
            "198.18.0.11:22",
            "198.18.0.21:22",
            "198.18.0.31:22",
            "198.18.0.11:6443",
            "198.18.0.21:6443",
            "198.18.0.21:2379",
            "198.18.0.21:10250",
            "198.18.0.31:10250",
        ];
        assert_eq!(found, expected);
    }
}
