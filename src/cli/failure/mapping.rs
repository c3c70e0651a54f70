//! The library's errors: which kind each is, and what its user can do about it.

use std::io::ErrorKind;

use super::{Failure, Kind};
use crate::fault::FaultError;
use crate::file::ReadError;
use crate::image::{ImageError, LockError, ResolveError};
use crate::lab::{LabError, RemoteError};
use crate::machine::TRIAL;
use crate::node::NodeError;
use crate::ops::OpsError;
use crate::provider::ProviderError;
use crate::recipe::{BackupError, RecipeError};
use crate::site::SiteError;
use crate::store::{FetchError, StoreError};
use crate::verify::{EvidenceError, VerifyError};

impl From<NodeError> for Failure {
    fn from(error: NodeError) -> Self {
        Self::operation(error)
    }
}

impl From<ProviderError> for Failure {
    fn from(error: ProviderError) -> Self {
        match error {
            ProviderError::DaemonDead | ProviderError::DaemonDied { .. } => {
                Self::operation(error).hint("regent up")
            }
            ProviderError::File(error) => error.into(),
            ProviderError::Remote(error) => error.into(),
            ProviderError::NoQemu { ref host, .. } => {
                let hint = format!("on {host}: apt-get install qemu-system-x86 qemu-utils");
                Self::machine(error).hint(hint)
            }
            ProviderError::QemuOwner { ref host, .. } => {
                let hint = format!(
                    "on {host}, in /etc/libvirt/qemu.conf: user = \"root\", group = \"root\", security_driver = \"none\"; then systemctl restart libvirtd"
                );
                Self::machine(error).hint(hint)
            }
            ProviderError::ForeignPool { ref host, ref pool } => {
                let hint = format!("on {host}: `virsh pool-dumpxml {pool}` shows it; rename it");
                Self::operation(error).hint(hint)
            }
            ProviderError::Connect { ref uri, .. } if uri.contains("+ssh:") => {
                Self::operation(error).hint(
                    "libvirt must run there: apt-get install libvirt-daemon-system qemu-system-x86 qemu-utils",
                )
            }
            ProviderError::Connect { .. } => Self::operation(error).hint(
                "start it, such as with `systemctl start libvirtd`, or have a libvirt of the lab's own: `connect: private`",
            ),
            ProviderError::Lost { .. } => Self::operation(error)
                .hint("the nodes live on as long as their host does: `regent up` goes on"),
            ProviderError::State { .. } => {
                Self::operation(error).hint("`regent status` shows every node's state")
            }
            _ => Self::operation(error),
        }
    }
}

impl From<FaultError> for Failure {
    fn from(error: FaultError) -> Self {
        match error {
            FaultError::Provider(error) => error.into(),
            FaultError::Node(error) => error.into(),
            FaultError::Lab(error) => error.into(),
            FaultError::NoNode(_) | FaultError::Missing { .. } => Self::operation(error),
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

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        let path = error.path().to_owned();
        let hint = match (&error, path.file_name().unwrap_or_default()) {
            (ReadError::Io { source, .. }, _) if source.kind() == ErrorKind::PermissionDenied => {
                return Self::machine(error).hint("labs are root's: run it with sudo");
            }
            (ReadError::Io { .. }, _) => return Self::operation(error),
            (ReadError::Later { .. }, _) => "use the regent that wrote it, or a later one".to_owned(),
            (_, "lab.json" | "secrets.json") => {
                "nothing was written; put back a copy of the file if there is one, else `regent down` removes the lab"
                    .to_owned()
            }
            (_, TRIAL) => format!("`rm {path}`: it is only the memory of a trial, which is done again"),
            (_, "settings.json") => format!(
                "`rm {path}`, after which raised settings of this machine stay as they are"
            ),
            _ => format!(
                "nothing was written; put back a copy of the file, or `rm {path}` if nothing that it stands for runs any more"
            ),
        };
        Self::operation(error).hint(hint)
    }
}

impl From<LabError> for Failure {
    fn from(error: LabError) -> Self {
        match error {
            LabError::File(error) => error.into(),
            LabError::Incomplete { .. } => Self::operation(error).hint(
                "nothing was written; put back a copy of the file if there is one, else `regent down` removes the lab",
            ),
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

impl From<OpsError> for Failure {
    fn from(error: OpsError) -> Self {
        match error {
            OpsError::Lab(error) => error.into(),
            OpsError::Recipe(error) => error.into(),
            OpsError::Image(error) => error.into(),
            OpsError::NotRunning(_) => Self::operation(error).hint("regent up"),
            OpsError::OtherImage { .. } => Self::usage(error).hint(
                "use the regent and the lock file that made the lab (a `regent.lock` in the current directory counts before the built-in one), or `regent down` and `regent up` for a new cluster",
            ),
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
            StoreError::Record(error) => error.into(),
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
            SiteError::Provider(error) => error.into(),
            SiteError::Node(error) => error.into(),
            SiteError::NoHostKey(_) => {
                Self::operation(error).hint("`regent up` makes what the lab lacks")
            }
        }
    }
}

impl From<BackupError> for Failure {
    fn from(error: BackupError) -> Self {
        let hint = match error {
            BackupError::Read { .. } => "nothing was done",
            BackupError::Sealed { .. } => {
                "nothing was done; `--identity` is the file that `age-keygen -o` wrote for the recipient in the cluster's file"
            }
            BackupError::Damaged { .. } => {
                "nothing was done; control-plane nodes keep more of them, in the file's `backup.to`"
            }
            BackupError::Other { .. } => "nothing was done",
        };
        Self::operation(error).hint(hint)
    }
}

impl From<RecipeError> for Failure {
    fn from(error: RecipeError) -> Self {
        match error {
            RecipeError::Node(error) => error.into(),
            RecipeError::Lab(error) => (*error).into(),
            RecipeError::Archive { .. } => Self::operation(error)
                .hint("put it back, and run `regent up` again"),
            RecipeError::Boot { .. } => Self::operation(error)
                .hint("all that it said is in nodes/NODE/console.log of the lab's directory, or on another host in /var/lib/regent/volumes"),
            RecipeError::Provider(error) => error.into(),
            RecipeError::Changed(_) => Self::usage(error).hint(
                "put it back in the file, or make a new cluster of the changed one: `regent down`, `regent up`",
            ),
            RecipeError::Several(errors) => Self::several(errors.into_iter().map(Self::from)),
            RecipeError::Silent { ref node, .. } => {
                let hint = format!(
                    "`regent node cut {node}` and `regent up` boot it anew, from its disk"
                );
                Self::operation(error).hint(hint)
            }
            RecipeError::Kubeadm { ref node, .. } => {
                let hint = format!("the node's journal: regent logs {node}");
                Self::operation(error).hint(hint)
            }
            RecipeError::Behind { ref node, .. } => {
                let hint = format!("`regent status` shows etcd's members, `regent logs {node}` what its own says");
                Self::operation(error).hint(hint)
            }
            RecipeError::Kept { .. } => Self::operation(error)
                .hint("nothing was removed; start the other control-plane nodes (`regent status` shows them), then `regent up` again"),
            RecipeError::Manifests { .. } => Self::operation(error)
                .hint("the cluster is up; mend the files, and `regent up` applies them again"),
            RecipeError::Unregistered { ref node, .. } => {
                let hint = format!("its kubelet says why: regent logs {node} --unit kubelet");
                Self::operation(error).hint(hint)
            }
            RecipeError::WouldLose { .. } => Self::usage(error).hint(
                "the node is as it was; delete them if they are not needed, or put it back into the file",
            ),
            RecipeError::Drain { .. } => Self::operation(error).hint(
                "the node still serves what is left; `regent up` goes on where this ended, and with the node back in the file takes it back",
            ),
            RecipeError::Connectivity(_)
            | RecipeError::Unhealthy { .. }
            | RecipeError::NotConverging { .. } => Self::operation(error)
                .hint("`regent status` shows each node, `regent up` tries again"),
            _ => Self::operation(error),
        }
    }
}
