//! Nodes that are system containers: what libvirt does not do for them. Everything here blocks.
//!
//! A node's root is an overlay over the shared, read-only root of the store, mounted where the lab's libvirt
//! runs. Below its directory: `upper`, `work`, `root` (the mount), `var/…` (bind mounts of the real disk).

use std::fs;
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::process::Command;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};

use super::{HypervisorError, NodeMedia, identity};
use crate::image::{DATABASES, link_tree};
use crate::lab::Place;
use crate::lab::cgroup;
use crate::lab::links::Links;
use crate::lab::process::{self, ProcessId};
use crate::name::NodeName;
use crate::node::NodeFile;
use crate::plan::NodePlan;
use crate::render::libvirt::DATA_DIRECTORIES;

/// After a SIGKILL to PID 1 the kernel ends a node's processes in a few ms; more only if a disk hangs.
const DEATH: Duration = Duration::from_secs(10);

type Result<T> = std::result::Result<T, HypervisorError>;

/// A running container, by its PID 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Container(ProcessId);

/// Makes everything that the domain refers to: directories, identity, the mounted overlay. Idempotent; what an
/// interrupted call left half-made is made again.
pub(super) fn prepare(place: &Place, node: &NodePlan, media: &NodeMedia) -> Result<()> {
    let directory = place.paths.node(&node.name);
    for name in ["work", "root", "var"] {
        make_directory(&node.name, &directory.join(name), 0o755)?;
    }
    once(&node.name, &directory.join("upper"), |upper| {
        make_directory(&node.name, upper, 0o755)?;
        identity::files(node, media)
            .iter()
            .try_for_each(|file| write(&node.name, upper, file))
    })?;
    for name in DATA_DIRECTORIES {
        once(
            &node.name,
            &directory.join("var").join(name),
            |target| match (&media.containerd, name) {
                (Some(images), "containerd") => copy_images(&node.name, images, target),
                _ => make_directory(&node.name, target, 0o755),
            },
        )?;
    }
    mount(place, &node.name, &media.root)
}

/// Removes what dead containers left in the node's cgroups, in which the kubelet would look for seconds per container.
pub(super) fn clear_cgroups(node: &NodeName, domain: &str) -> Result<()> {
    cgroup::of_domain(domain)
        .and_then(|directories| cgroup::remove(&directories))
        .map_err(HypervisorError::io(
            node,
            "removing the cgroups of",
            Utf8Path::new(domain),
        ))
}

/// Ends whatever is left of the node and removes its mounts, cgroups and files.
pub(super) fn remove(place: &Place, node: &NodeName, domain: &str) -> Result<()> {
    cgroup::of_domain(domain)
        .and_then(|directories| cgroup::kill(&directories))
        .map_err(HypervisorError::io(
            node,
            "ending the processes of",
            Utf8Path::new(domain),
        ))?;
    clear_cgroups(node, domain)?;
    let root = place.node(node).join("root");
    if is_mounted(place, node)? {
        run(
            node,
            place.command("umount").args(["--lazy", root.as_str()]),
        )?;
    }
    let directory = place.paths.node(node);
    gone(node.as_str(), |path| fs::remove_dir_all(path), &directory)
}

/// Removes what libvirt itself leaves on this machine of a domain that is gone: empty directories, a log. In a lab
/// of its own these go with the lab.
pub(super) fn remove_traces(domain: &str) -> Result<()> {
    let libvirt = Utf8Path::new("/run/libvirt/lxc");
    for place in ["dev", "devpts", "fuse"] {
        gone(
            domain,
            |path| fs::remove_dir(path),
            &libvirt.join(format!("{domain}.{place}")),
        )?;
    }
    gone(
        domain,
        |path| fs::remove_file(path),
        &libvirt.join(format!("{domain}.sock")),
    )?;
    let logs = Utf8Path::new("/var/log/libvirt/lxc");
    gone(
        domain,
        |path| fs::remove_file(path),
        &logs.join(format!("{domain}.log")),
    )
}

/// The same for a network.
pub(super) fn remove_network_traces(network: &str) -> Result<()> {
    let directory = Utf8Path::new("/run/libvirt/network").join(network);
    gone(
        network,
        |path| fs::remove_dir(path),
        &directory.join("ports"),
    )?;
    gone(network, |path| fs::remove_dir(path), &directory)
}

/// Removes something; that it is gone already is fine.
fn gone(
    subject: &str,
    remove: impl Fn(&Utf8Path) -> io::Result<()>,
    path: &Utf8Path,
) -> Result<()> {
    match remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(HypervisorError::io(&subject, "removing", path)(error))
        }
        _ => Ok(()),
    }
}

impl Container {
    /// Finds the running container of a domain.
    pub(super) fn find(place: &Place, domain: &str) -> Option<Self> {
        let daemon = place.holder.map(|holder| holder.0);
        let namespace = daemon
            .or_else(|| ProcessId::of(std::process::id()))?
            .namespace("pid");
        process::all().find_map(|controller| {
            let arguments = controller.arguments();
            let of_domain = arguments.first()?.ends_with("/libvirt_lxc")
                && arguments.windows(2).any(|pair| pair == ["--name", domain]);
            if !of_domain || controller.namespace("pid") != namespace {
                return None;
            }
            // Number 1 in its own namespace, which is the last of the list.
            let is_init = |child: &ProcessId| child.numbers().last() == Some(&1);
            controller.children().into_iter().find(is_init).map(Self)
        })
    }

    /// Cuts the power: first the network (`links` are the host's ends), so that nothing of the death is heard, then
    /// everything at once. Measured under full load: silent and killed after 0.6 ms, gone after 30 to 100 ms.
    pub(super) fn cut(self, node: &NodeName, domain: &str, links: &Links) -> Result<()> {
        links.down().map_err(HypervisorError::io(
            node,
            "switching off",
            Utf8Path::new("the network"),
        ))?;
        self.kill(node, domain)
    }

    /// Kills PID 1, with which the kernel ends all others, and waits for it. A suspended node dies as well.
    pub(super) fn kill(self, node: &NodeName, domain: &str) -> Result<()> {
        let failed = |error| HypervisorError::io(node, "killing", Utf8Path::new("PID 1"))(error);
        self.0
            .kill()
            .and_then(|()| cgroup::thaw(&cgroup::of_domain(domain)?))
            .map_err(failed)?;
        match self.0.wait_gone(DEATH).map_err(failed)? {
            true => Ok(()),
            false => Err(HypervisorError::Unkillable {
                node: node.clone(),
                pid: self.0.pid,
            }),
        }
    }

    /// Asks systemd for an orderly power-off: SIGRTMIN+4, which systemd(1) defines for containers.
    pub(super) fn power_off(self, node: &NodeName) -> Result<()> {
        // 34: glibc keeps the first two real-time signals for itself.
        run(
            node,
            Command::new("kill").args(["-38", &self.0.pid.to_string()]),
        )
    }

    /// What is different after each boot: a container's own boot identifier is the host's.
    pub(super) fn boot_identity(self) -> String {
        format!("{}@{}", self.0.pid, self.0.started)
    }
}

fn mount(place: &Place, node: &NodeName, root: &Utf8Path) -> Result<()> {
    if is_mounted(place, node)? {
        return Ok(());
    }
    let (lower, directory) = (place.host(root), place.node(node));
    let options = format!("lowerdir={lower},upperdir={directory}/upper,workdir={directory}/work");
    let point = format!("{directory}/root");
    run(
        node,
        place
            .command("mount")
            .args(["-t", "overlay", "-o", &options, "overlay", &point]),
    )
}

fn is_mounted(place: &Place, node: &NodeName) -> Result<bool> {
    let point = place.node(node).join("root");
    let mounts = place.mounts().map_err(HypervisorError::io(
        node,
        "looking for the mount of",
        &point,
    ))?;
    Ok(mounts.contains(&point))
}

/// Makes a directory whole or not at all: `make` makes one beside it, which takes its name at the end.
fn once(
    node: &NodeName,
    directory: &Utf8Path,
    make: impl FnOnce(&Utf8Path) -> Result<()>,
) -> Result<()> {
    if directory.exists() {
        return Ok(());
    }
    let partial = Utf8PathBuf::from(format!("{directory}.partial"));
    gone(node.as_str(), |path| fs::remove_dir_all(path), &partial)?;
    make(&partial)?;
    fs::rename(&partial, directory).map_err(HypervisorError::io(node, "renaming", &partial))
}

fn make_directory(node: &NodeName, directory: &Utf8Path, mode: u32) -> Result<()> {
    fs::create_dir_all(directory)
        .and_then(|()| fs::set_permissions(directory, fs::Permissions::from_mode(mode)))
        .map_err(HypervisorError::io(node, "making", directory))
}

/// Writes a file of the node below `root`.
fn write(node: &NodeName, root: &Utf8Path, file: &NodeFile) -> Result<()> {
    let path = root.join(file.path.as_str().trim_start_matches('/'));
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(HypervisorError::io(node, "making", parent))?;
    }
    if file.path.starts_with("/root") {
        // An upper directory hides the mode of the one below it, and sshd insists on these.
        for private in ["root", "root/.ssh"] {
            make_directory(node, &root.join(private), 0o700)?;
        }
    }
    let mut open = fs::OpenOptions::new();
    open.write(true).create_new(true).mode(file.mode);
    open.open(&path)
        .and_then(|mut target| io::Write::write_all(&mut target, &file.content))
        // The mode of a new file is subject to the umask.
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(file.mode)))
        .map_err(HypervisorError::io(node, "writing", &path))
}

/// Copies containerd's directory by hard links, its databases for real: 0.2 s instead of some for every node.
fn copy_images(node: &NodeName, from: &Utf8Path, to: &Utf8Path) -> Result<()> {
    match link_tree(from, to) {
        Ok(()) => {}
        // Links cannot cross file systems, nor mounts of the same one.
        Err(error) if error.source.kind() == io::ErrorKind::CrossesDevices => {
            gone(node.as_str(), |path| fs::remove_dir_all(path), to)?;
            let arguments = ["--archive", "--", from.as_str(), to.as_str()];
            return run(node, Command::new("cp").args(arguments));
        }
        Err(source) => {
            return Err(HypervisorError::Copy {
                node: node.clone(),
                source,
            });
        }
    }
    for database in DATABASES {
        let (from, to) = (from.join(database), to.join(database));
        fs::remove_file(&to)
            .and_then(|()| fs::copy(&from, &to))
            .map_err(HypervisorError::io(node, "copying", &from))?;
    }
    Ok(())
}

fn run(node: &NodeName, command: &mut Command) -> Result<()> {
    let program = || format!("{command:?}").replace('"', "");
    let failed = |program: String, said: String| HypervisorError::Program {
        node: node.clone(),
        program,
        said,
    };
    let program = program();
    let output = command
        .stdin(std::process::Stdio::null())
        .output()
        .map_err(|error| failed(program.clone(), error.to_string()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let said = if said.is_empty() {
            output.status.to_string()
        } else {
            said
        };
        return Err(failed(program, said));
    }
    Ok(())
}
