//! Nodes that are system containers: what libvirt does not do for them. Everything here blocks.
//!
//! A node's root is an overlay over the shared, read-only root of the store, mounted where the lab's libvirt
//! runs. Below its directory: `upper`, `work`, `root` (the mount), `var/…` (bind mounts of the real disk).

use std::fs;
use std::io;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::process::Command;
use std::time::Instant;

use camino::Utf8Path;

use super::driver::{self, Driver, Guest, Plug};
use super::host::{gone, make_directory, once, run};
use super::{Boot, Fault, NodeMedia, ProviderError, Strength, identity};
use crate::image::{DATABASES, link_tree};
use crate::lab::Place;
use crate::lab::cgroup;
use crate::lab::links::Links;
use crate::lab::process::{self, ProcessId};
use crate::name::NodeName;
use crate::node::NodeFile;
use crate::plan::{NodePlan, Plan};
use crate::render::libvirt::{self as render, DATA_DIRECTORIES};

type Result<T> = std::result::Result<T, ProviderError>;

/// System containers.
#[derive(Debug)]
pub(super) struct Lxc;

impl Driver for Lxc {
    fn prepare(
        &self,
        guest: &Guest<'_>,
        plan: &Plan,
        node: &NodePlan,
        media: &NodeMedia,
    ) -> Result<String> {
        let Boot::Container { root, containerd } = &media.boot else {
            return Err(ProviderError::Media {
                node: node.name.clone(),
                wanted: "container root",
            });
        };
        let place = guest.place;
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
                |target| match (containerd, name) {
                    (Some(images), "containerd") => copy_images(&node.name, images, target),
                    _ => make_directory(&node.name, target, 0o755),
                },
            )?;
        }
        mount(place, &node.name, root)?;
        render::lxc_domain(Some(&place.id), plan, node, &place.node(&node.name)).map_err(|source| {
            ProviderError::Xml {
                doing: "writing",
                name: node.domain.clone(),
                source,
            }
        })
    }

    /// What dead containers left in the node's cgroups, in which the kubelet would look for seconds per container.
    fn clear(&self, node: &NodeName, domain: &str) -> Result<()> {
        cgroup::of_domain(domain)
            .and_then(|directories| cgroup::remove(&directories))
            .map_err(ProviderError::io(
                node,
                "removing the cgroups of",
                Utf8Path::new(domain),
            ))
    }

    /// The container's PID 1.
    fn find(&self, place: &Place, domain: &str) -> Result<Option<ProcessId>> {
        let namespace = driver::namespace(place);
        Ok(process::all().find_map(|controller| {
            let arguments = controller.arguments();
            let of_domain = arguments.first()?.ends_with("/libvirt_lxc")
                && arguments.windows(2).any(|pair| pair == ["--name", domain]);
            if !of_domain || controller.namespace("pid") != namespace {
                return None;
            }
            // Number 1 in its own namespace, which is the last of the list.
            let is_init = |child: &ProcessId| child.numbers().last() == Some(&1);
            controller.children().into_iter().find(is_init)
        }))
    }

    /// First the network, so that nothing of the death is heard: the kernel, which lives on, would tell. Then everything
    /// at once. Measured under full load: silent and killed after 0.6 ms, gone after 30 to 100 ms.
    fn cut(&self, guest: &Guest<'_>, process: ProcessId) -> Result<Instant> {
        let Guest { node, domain, .. } = *guest;
        let links = links(guest)?;
        let before = Instant::now();
        links
            .down()
            .map_err(ProviderError::io(node, "switching off", network()))?;
        self.kill(node, domain, process)?;
        Ok(before)
    }

    /// The host's end of the cable is switched off. libvirt has no link state for containers.
    fn plug(&self, guest: &Guest<'_>, _: &Plan, state: Plug) -> Result<()> {
        let links = links(guest)?;
        match state {
            Plug::In => links.up(),
            Plug::Out => links.down(),
        }
        .map_err(ProviderError::io(guest.node, "switching", network()))
    }

    /// With PID 1 the kernel ends all others. A suspended node cannot die before it is thawed.
    fn kill(&self, node: &NodeName, domain: &str, process: ProcessId) -> Result<()> {
        driver::kill(node, process, || cgroup::thaw(&cgroup::of_domain(domain)?))
    }

    /// SIGRTMIN+4, which systemd(1) defines for containers.
    fn stop(&self, guest: &Guest<'_>, process: ProcessId) -> Result<()> {
        // 34: glibc keeps the first two real-time signals for itself.
        run(
            guest.node,
            Command::new("kill").args(["-38", &process.pid.to_string()]),
        )
    }

    fn end(&self, guest: &Guest<'_>) -> Result<()> {
        let Guest {
            place,
            node,
            domain,
            ..
        } = *guest;
        cgroup::of_domain(domain)
            .and_then(|directories| cgroup::kill(&directories))
            .map_err(ProviderError::io(
                node,
                "ending the processes of",
                Utf8Path::new(domain),
            ))?;
        self.clear(node, domain)?;
        let root = place.node(node).join("root");
        if is_mounted(place, node)? {
            run(
                node,
                place.command("umount").args(["--lazy", root.as_str()]),
            )?;
        }
        Ok(())
    }

    /// Empty directories, a log. In a lab of its own these go with the lab.
    fn remove_traces(&self, domain: &str) -> Result<()> {
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

    fn strength(&self, fault: Fault) -> Strength {
        match fault {
            Fault::PowerCut => Strength::Weaker(
                "the node shares the host's kernel: its page cache survives the cut, so data that was written but not synced is not lost",
            ),
            Fault::Kill => Strength::Weaker(
                "the node's processes are killed one by one and its peers are told (FIN, RST); its page cache survives",
            ),
            Fault::Stop | Fault::LinkDown => Strength::Full,
            Fault::Pause => Strength::Weaker(
                "the node's processes are frozen, while the host's kernel goes on to answer for it: its sockets still acknowledge",
            ),
            Fault::Reset => {
                Strength::Missing("a container has no reset button; cut its power and start it")
            }
            Fault::SlowDisk => {
                Strength::Missing("containers share the host's disk; this needs virtual machines")
            }
        }
    }

    /// systemd writes to its journal.
    fn console(&self, _: &Guest<'_>) -> Option<Vec<u8>> {
        None
    }
}

/// The host's ends of a running node's cables.
fn links(guest: &Guest<'_>) -> Result<Links> {
    let names = guest.libvirt.interfaces(guest.domain)?;
    let holder = guest.place.holder.map(|holder| holder.0);
    Links::find(holder, &names).map_err(ProviderError::io(guest.node, "looking for", network()))
}

/// What a node's cables are called in errors.
fn network() -> &'static Utf8Path {
    Utf8Path::new("the network")
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
    let mounts =
        place
            .mounts()
            .map_err(ProviderError::io(node, "looking for the mount of", &point))?;
    Ok(mounts.contains(&point))
}

/// Writes a file of the node below `root`.
fn write(node: &NodeName, root: &Utf8Path, file: &NodeFile) -> Result<()> {
    let path = root.join(file.path.as_str().trim_start_matches('/'));
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(ProviderError::io(node, "making", parent))?;
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
        .map_err(ProviderError::io(node, "writing", &path))
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
            return Err(ProviderError::Copy {
                node: node.clone(),
                source,
            });
        }
    }
    for database in DATABASES {
        let (from, to) = (from.join(database), to.join(database));
        fs::remove_file(&to)
            .and_then(|()| fs::copy(&from, &to))
            .map_err(ProviderError::io(node, "copying", &from))?;
    }
    Ok(())
}
