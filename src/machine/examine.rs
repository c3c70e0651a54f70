//! One look at everything that a lab needs from its machine.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use camino::Utf8Path;
use serde::Serialize;

use super::facts;
use super::guest::{Guests, guests};
use crate::program;
use crate::spec::Machine;

/// What was looked at, and what was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub subject: String,
    /// What was found.
    #[serde(flatten)]
    pub state: State,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "camelCase")]
pub enum State {
    /// As it should be.
    Fine {
        /// The fact.
        what: String,
    },
    /// A lab may work, with less.
    Doubtful {
        /// The fact, and what it means.
        what: String,
        /// What to do about it.
        mend: String,
    },
    /// No lab works like this.
    Missing {
        /// The fact.
        what: String,
        /// The command that mends it.
        mend: String,
    },
}

/// Programs that regent runs, where Debian has them, and whether a lab needs them or only one command does.
const PROGRAMS: &[(&str, &str, bool)] = &[
    ("libvirtd", "libvirt-daemon", true),
    // A package of its own from Debian 13 on, which libvirt-daemon depends on.
    ("virtlogd", "libvirt-daemon", true),
    ("ip", "iproute2", true),
    ("iptables", "iptables", true),
    ("kill", "procps", true),
    ("mount", "mount", true),
    ("nsenter", "util-linux", true),
    ("unshare", "util-linux", true),
    ("mmdebstrap", "mmdebstrap", true),
    ("ssh", "openssh-client", false),
];

/// The same for virtual machines.
const MACHINE_PROGRAMS: &[(&str, &str, bool)] = &[
    (QEMU, "qemu-system-x86", true),
    ("qemu-img", "qemu-utils", true),
];

/// Runs virtual machines. There are images for this architecture only.
const QEMU: &str = "qemu-system-x86_64";

/// Namespaces that a lab and its nodes have of their own.
const NAMESPACES: &[&str] = &["cgroup", "ipc", "mnt", "net", "pid", "uts"];

/// Controllers that kubelet and systemd in a node want. On version 2 `devices` and `freezer` are not controllers.
const CONTROLLERS: &[&str] = &["cpu", "cpuset", "memory", "pids"];

/// The oldest Go tried (Debian 12's). It only fetches the toolchain that `regent.lock` names.
const GO: (u32, u32) = (1, 19);

/// What the default cluster of 3 + 2 nodes and a load balancer takes (2.0 GiB measured), and something to breathe.
const MEMORY: u64 = 3 << 30;

/// What the store takes from nothing to built, with the Go caches (9.2 GB measured; 1.6 GB more for virtual machines);
/// and a lab's overlays.
const DISK: u64 = 12 << 30;

/// Looks at everything that a lab with its state in `state` and its store in `store` needs.
pub fn examine(state: &Utf8Path, store: &Utf8Path) -> Vec<Finding> {
    let mut findings = for_labs();
    findings.push(libvirt_driver_finding("lxc", "libvirt-daemon-driver-lxc"));
    // Part of libvirt-daemon in Debian 12, of its own from 13 on, where the lxc driver depends on it.
    findings.push(libvirt_driver_finding(
        "network",
        "libvirt-daemon-driver-lxc",
    ));
    findings.extend([virtual_machines(state), go(), memory()]);
    findings.push(overlay(state));
    findings.push(disk("disk of the state", state));
    findings.push(disk("disk of the store", store));
    findings
}

/// Looks at what every lab of its own libvirt needs, whatever its nodes are.
pub fn for_labs() -> Vec<Finding> {
    let programs = PROGRAMS.iter();
    let programs =
        programs.map(|&(program, package, needed)| program_finding(program, package, needed));
    [root(), kernel(), namespaces(), cgroups(), kmsg()]
        .into_iter()
        .chain(programs)
        .collect()
}

/// Looks at what a lab of virtual machines needs besides.
pub fn for_machines() -> Vec<Finding> {
    let programs = MACHINE_PROGRAMS.iter();
    let programs =
        programs.map(|&(program, package, needed)| program_finding(program, package, needed));
    let driver = libvirt_driver_finding("qemu", "libvirt-daemon-driver-qemu");
    programs.chain([driver]).collect()
}

fn finding(subject: impl Into<String>, state: State) -> Finding {
    Finding {
        subject: subject.into(),
        state,
    }
}

fn fine(what: impl Into<String>) -> State {
    State::Fine { what: what.into() }
}

fn missing(what: impl Into<String>, mend: impl Into<String>) -> State {
    State::Missing {
        what: what.into(),
        mend: mend.into(),
    }
}

fn doubtful(what: impl Into<String>, mend: impl Into<String>) -> State {
    State::Doubtful {
        what: what.into(),
        mend: mend.into(),
    }
}

fn root() -> Finding {
    let state = if rustix::process::geteuid().is_root() {
        fine("running as root")
    } else {
        missing("not running as root", "sudo regent …")
    };
    finding("user", state)
}

fn kernel() -> Finding {
    let filesystems = fs::read_to_string("/proc/filesystems").unwrap_or_default();
    let release = rustix::system::uname();
    let module = Path::new("/lib/modules")
        .join(&*release.release().to_string_lossy())
        .join("kernel/fs/overlayfs");
    let state = if facts::knows_filesystem(&filesystems, "overlay") {
        fine("the kernel has overlayfs")
    } else if module.exists() {
        fine("the kernel has overlayfs as a module, and loads it when it is first used")
    } else {
        missing(
            "the kernel has no overlayfs",
            "boot a kernel with it, such as Debian's",
        )
    };
    finding("overlayfs", state)
}

/// Tries whether a container's root can be an overlay whose upper directory is below the state directory: mounts one, in
/// a mount namespace that ends with the trial. An overlay cannot be the upper directory of another one.
pub fn overlay(state: &Utf8Path) -> Finding {
    let subject = "overlay on the state";
    if !rustix::process::geteuid().is_root() {
        return finding(
            subject,
            doubtful("only root can try it", "sudo regent doctor"),
        );
    }
    let existing = state.ancestors().find(|directory| directory.is_dir());
    let existing = existing.unwrap_or(Utf8Path::new("/"));
    let state = match try_overlay(existing) {
        Ok(()) => fine(format!("{existing} can hold nodes' disks")),
        Err(why) => missing(
            format!("{existing} cannot hold containers' disks: {why}"),
            "set REGENT_STATE to a directory on an ordinary disk (ext4, xfs, btrfs)",
        ),
    };
    finding(subject, state)
}

fn try_overlay(directory: &Utf8Path) -> Result<(), String> {
    let scratch = tempfile::Builder::new()
        .prefix(".regent-overlay-")
        .tempdir_in(directory)
        .map_err(|error| error.to_string())?;
    let path = |name: &str| scratch.path().join(name);
    for name in ["lower", "upper", "work", "root"] {
        fs::create_dir(path(name)).map_err(|error| error.to_string())?;
    }
    let options = format!(
        "lowerdir={},upperdir={},workdir={}",
        path("lower").display(),
        path("upper").display(),
        path("work").display()
    );
    let output = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "mount", "-t"])
        .args(["overlay", "-o", &options, "overlay"])
        .arg(path("root"))
        .output()
        .map_err(|error| format!("unshare: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let said = said.lines().find(|line| !line.trim().is_empty());
    Err(said.unwrap_or("mount says nothing").trim().to_owned())
}

fn namespaces() -> Finding {
    let lacking: Vec<_> = NAMESPACES
        .iter()
        .copied()
        .filter(|name| !Path::new("/proc/self/ns").join(name).exists())
        .collect();
    let state = if lacking.is_empty() {
        fine(NAMESPACES.join(", "))
    } else {
        missing(
            format!("the kernel has no {} namespaces", lacking.join(", ")),
            "boot a kernel with them, such as Debian's",
        )
    };
    finding("namespaces", state)
}

fn cgroups() -> Finding {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let unified = fs::read_to_string("/sys/fs/cgroup/cgroup.controllers").unwrap_or_default();
    let lacking = facts::missing_controllers(&mounts, &unified, CONTROLLERS);
    let version = if unified.is_empty() { 1 } else { 2 };
    let state = if lacking.is_empty() {
        fine(format!("version {version}: {}", CONTROLLERS.join(", ")))
    } else {
        missing(
            format!("no mounted hierarchy has {}", lacking.join(", ")),
            "boot with systemd, which mounts them; in a container, give it the host's cgroups",
        )
    };
    finding("cgroups", state)
}

fn kmsg() -> Finding {
    let state = if Path::new("/dev/kmsg").exists() {
        fine("/dev/kmsg")
    } else {
        missing(
            "no /dev/kmsg, which kubelet reads",
            "mknod /dev/kmsg c 1 11",
        )
    };
    finding("kernel log", state)
}

fn program_finding(program: &str, package: &str, needed: bool) -> Finding {
    let state = match program::find(program) {
        Some(path) => fine(path.to_string()),
        None => {
            let what = format!("`{program}` is not installed");
            let mend = format!("apt-get install {package}");
            if needed {
                missing(what, mend)
            } else {
                doubtful(what, mend)
            }
        }
    };
    finding(program, state)
}

/// What `driver: auto` comes to. No lab needs virtual machines, so that nothing is missing.
fn virtual_machines(state: &Utf8Path) -> Finding {
    let state = match guests(state) {
        Err(error) => missing(
            error.to_string(),
            format!("rm {}, after which it is tried again", error.path()),
        ),
        Ok(Guests::Boot) => fine("the processor runs guests: `driver: auto` takes qemu"),
        Ok(Guests::DoNot(why)) => fine(format!("`driver: auto` takes lxc: {why}")),
        Ok(Guests::Lacking(what)) => doubtful(
            format!("`driver: auto` takes lxc: {what}"),
            "REGENT_QEMU=1 ./setup",
        ),
        Ok(Guests::Untried) => doubtful(
            "whether the processor runs guests is not tried yet",
            "sudo regent doctor",
        ),
    };
    finding("virtual machines", state)
}

fn libvirt_driver_finding(name: &str, package: &str) -> Finding {
    let state = match libvirt_driver(name) {
        Some(path) => fine(path.display().to_string()),
        None => missing(
            format!("libvirt's {name} driver is not installed"),
            format!("apt-get install {package}"),
        ),
    };
    finding(format!("{name} driver"), state)
}

/// Where a driver of libvirt's is; the directory's name holds the architecture.
pub(super) fn libvirt_driver(name: &str) -> Option<PathBuf> {
    fs::read_dir("/usr/lib")
        .into_iter()
        .flatten()
        .filter_map(Result::ok)
        .map(|entry| entry.path().join("libvirt/connection-driver"))
        .map(|dir| dir.join(format!("libvirt_driver_{name}.so")))
        .find(|driver| driver.exists())
}

fn go() -> Finding {
    let mend = "apt-get install golang-go";
    let said = Command::new("go").arg("version").output();
    let said = said.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    let state = match said {
        Ok(text) if facts::go_version(&text).is_some_and(|version| version >= GO) => fine(text),
        Ok(text) => doubtful(
            format!("{text}: building images needs {}.{}", GO.0, GO.1),
            mend,
        ),
        Err(_) => doubtful("`go` is not installed; building images needs it", mend),
    };
    finding("go", state)
}

fn memory() -> Finding {
    let state = match Machine::observe().available_memory {
        Some(bytes) if bytes >= MEMORY => fine(format!("{} available", gib(bytes))),
        Some(bytes) => doubtful(
            format!(
                "{} available; the default cluster wants {}",
                gib(bytes),
                gib(MEMORY)
            ),
            "stop something, or plan fewer nodes",
        ),
        None => doubtful(
            "/proc/meminfo does not say what is available",
            "look at `free`",
        ),
    };
    finding("memory", state)
}

fn disk(subject: &str, dir: &Utf8Path) -> Finding {
    // The directory may not exist yet; its nearest ancestor stands on the same file system or on its mount point.
    let existing = dir.ancestors().find(|dir| dir.exists()).unwrap_or(dir);
    let state = match rustix::fs::statvfs(existing.as_std_path()) {
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let what = format!("{} free at {existing}", gib(free));
            if free >= DISK {
                fine(what)
            } else {
                doubtful(
                    format!("{what}; building from nothing takes {}", gib(DISK)),
                    "make room, or set REGENT_STATE and REGENT_STORE",
                )
            }
        }
        Err(error) => missing(
            format!("cannot look at {existing}: {error}"),
            "set REGENT_STATE and REGENT_STORE to usable directories",
        ),
    };
    finding(subject, state)
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / f64::from(1u32 << 30))
}

#[cfg(test)]
mod tests;
