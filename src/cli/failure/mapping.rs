//! The library's errors: which kind each is, and what its user can do about it.

use std::io::ErrorKind;

use super::{Failure, Kind};
use crate::hypervisor::HypervisorError;
use crate::image::{ImageError, LockError, ResolveError};
use crate::lab::{LabError, RemoteError};
use crate::node::NodeError;
use crate::recipe::RecipeError;
use crate::site::SiteError;
use crate::store::{FetchError, StoreError};
use crate::verify::{EvidenceError, VerifyError};

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        Self::operation(error)
    }
}

impl From<HypervisorError> for Failure {
    fn from(error: HypervisorError) -> Self {
        match error {
            HypervisorError::DaemonDead | HypervisorError::DaemonDied { .. } => {
                Self::operation(error).hint("regent up")
            }
            HypervisorError::Remote(error) => error.into(),
            HypervisorError::NoQemu { ref host, .. } => {
                let hint = format!("on {host}: apt-get install qemu-system-x86 qemu-utils");
                Self::machine(error).hint(hint)
            }
            HypervisorError::QemuOwner { ref host, .. } => {
                let hint = format!(
                    "on {host}, in /etc/libvirt/qemu.conf: user = \"root\", group = \"root\", security_driver = \"none\"; then systemctl restart libvirtd"
                );
                Self::machine(error).hint(hint)
            }
            HypervisorError::ForeignPool { ref host, ref pool } => {
                let hint = format!("on {host}: `virsh pool-dumpxml {pool}` shows it; rename it");
                Self::operation(error).hint(hint)
            }
            HypervisorError::Connect { ref uri, .. } if uri.contains("+ssh:") => {
                Self::operation(error).hint(
                    "libvirt must run there: apt-get install libvirt-daemon-system qemu-system-x86 qemu-utils",
                )
            }
            HypervisorError::Connect { .. } => Self::operation(error).hint(
                "start it, such as with `systemctl start libvirtd`, or have a libvirt of the lab's own: `connect: private`",
            ),
            HypervisorError::Lost { .. } => Self::operation(error)
                .hint("the nodes live on as long as their host does: `regent up` goes on"),
            HypervisorError::State { .. } => {
                Self::operation(error).hint("`regent status` shows every node's state")
            }
            _ => Self::operation(error),
        }
    }
}

impl From<RemoteError> for Failure {
    fn from(error: RemoteError) -> Self {
        match error {
            RemoteError::Program { .. } => {
                Self::machine(error).hint("apt-get install openssh-client util-linux")
            }
            RemoteError::Login { ref attempt, .. } => {
                let hint = format!("this must work without a question: {attempt}");
                Self::operation(error).hint(hint)
            }
            RemoteError::NotRoot { ref host } => {
                let hint = format!("write `qemu+ssh://root@{host}/system`");
                Self::operation(error).hint(hint)
            }
            _ => Self::operation(error),
        }
    }
}

impl From<LabError> for Failure {
    fn from(error: LabError) -> Self {
        match error {
            LabError::Missing { package, .. } => {
                Self::machine(error).hint(format!("apt-get install {package}"))
            }
            LabError::Io { ref source, .. } if source.kind() == ErrorKind::PermissionDenied => {
                Self::machine(error).hint("labs are root's: run it with sudo")
            }
            LabError::Busy { .. } => Self::operation(error)
                .hint("wait for it, or end it; `down` then works from any state"),
            LabError::NameTaken { .. } => Self::operation(error)
                .hint("give this cluster another `name`, or take the other one down"),
            LabError::Holder { .. } | LabError::Daemon { .. } => {
                Self::operation(error).hint("`regent doctor` looks at what a lab needs")
            }
            LabError::Remote(error) => error.into(),
            LabError::Libvirt { source, .. } => (*source).into(),
            _ => Self::operation(error),
        }
    }
}

impl From<VerifyError> for Failure {
    fn from(error: VerifyError) -> Self {
        Self::operation(error)
    }
}

impl From<EvidenceError> for Failure {
    fn from(error: EvidenceError) -> Self {
        match error {
            EvidenceError::Write { .. } => Self::operation(error),
            _ => Self::usage(error),
        }
    }
}

impl From<ImageError> for Failure {
    fn from(error: ImageError) -> Self {
        match error {
            ImageError::Store(error) => error.into(),
            ImageError::LockFile(error) => error.into(),
            ImageError::Version { .. } | ImageError::Lock { .. } => Self::usage(error),
            _ => Self::operation(error),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let full = error.is_full();
        match error {
            StoreError::Tool { mend, .. } => Self::machine(error).hint(mend),
            StoreError::Fetch(error) => error.into(),
            _ if full => Self::new(Kind::Operation, error)
                .hint("make room, or put the store elsewhere: REGENT_STORE; what is whole is kept"),
            _ => Self::operation(error),
        }
    }
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::NoMirror => Self::machine(error),
            _ => Self::operation(error),
        }
    }
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        Self::usage(error)
    }
}

impl From<ResolveError> for Failure {
    fn from(error: ResolveError) -> Self {
        match error {
            ResolveError::Fetch(error) => error.into(),
            _ => Self::operation(error),
        }
    }
}

impl From<SiteError> for Failure {
    fn from(error: SiteError) -> Self {
        match error {
            SiteError::Hypervisor(error) => error.into(),
            SiteError::Node(error) => error.into(),
            SiteError::NoHostKey(_) => Self::operation(error)
                .hint("the lab was made for another plan: `regent down`, then `regent up`"),
        }
    }
}

impl From<RecipeError> for Failure {
    fn from(error: RecipeError) -> Self {
        match error {
            RecipeError::Node(error) => error.into(),
            RecipeError::Boot { .. } => Self::operation(error)
                .hint("all that it said is in nodes/NODE/console.log of the lab's directory, or on another host in /var/lib/regent/volumes"),
            RecipeError::Hypervisor(error) => error.into(),
            RecipeError::Changed(_) => Self::usage(error)
                .hint("`regent down` and `regent up` make a new cluster of the changed file"),
            RecipeError::Kubeadm { ref node, .. } => {
                let hint = format!("the node's journal: regent logs {node}");
                Self::operation(error).hint(hint)
            }
            RecipeError::Connectivity(_)
            | RecipeError::Unhealthy { .. }
            | RecipeError::NotConverging { .. } => Self::operation(error)
                .hint("`regent status` shows each node, `regent up` tries again"),
            _ => Self::operation(error),
        }
    }
}
