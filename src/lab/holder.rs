//! The process that holds a private lab: PID 1 of namespaces in which libvirt's daemons and the nodes run.
//!
//! Killing it ends every process of the lab, and the namespaces with their mounts and interfaces go with the
//! last one. It survives regent. In its mount namespace the lab's directory is [`LAB`], the host's root [`HOST`].

use std::fs;
use std::io;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::cgroup;
use super::process::{self, ProcessId};
use super::{LabError, LabPaths};
use crate::spec::Driver;

/// The lab's directory, as libvirt and everything else in the lab's mount namespace sees it.
pub(crate) const LAB: &str = "/run/lab";

/// The host's root directory, as seen in the lab's mount namespace.
pub(crate) const HOST: &str = "/run/host";

/// What the holder does before it only holds.
const SCRIPT: (&str, &str) = ("holder.sh", include_str!("holder.sh"));

/// The environment variable that marks a holder, with the lab's directory as its value.
const MARK: &str = "REGENT_LAB";

/// The parts of libvirtd that a lab needs for its kind of nodes, and where Debian has them. The others only cost time.
const fn parts(driver: Driver) -> [(&'static str, &'static str); 2] {
    let nodes = match driver {
        Driver::Lxc => ("lxc", "libvirt-daemon-driver-lxc"),
        Driver::Qemu => ("qemu", "libvirt-daemon-driver-qemu"),
    };
    // Its own package from Debian 13 on.
    [nodes, ("network", "libvirt-daemon-driver-network")]
}

/// The daemons' configuration, by file below `etc`.
const CONFIGURATION: [(&str, &str); 3] = [
    // Whoever may pass through the lab's directory, which is root's alone, may connect.
    (
        "libvirtd.conf",
        "auth_unix_rw = \"none\"\nunix_sock_rw_perms = \"0700\"\nunix_sock_ro_perms = \"0700\"\n",
    ),
    // Nodes are privileged containers; a profile made for others would only break them in odd ways.
    ("lxc.conf", "security_driver = \"none\"\n"),
    ("qemu.conf", include_str!("qemu.conf")),
];

/// The daemons, in the order of their start, and their sockets.
const DAEMONS: [(&str, &str); 2] = [("virtlogd", "virtlogd-sock"), ("libvirtd", "libvirt-sock")];

/// A dozen mounts, or a daemon. Measured: 30 and 100 ms; the rest is for a machine that is busy.
const START: Duration = Duration::from_secs(10);

/// The kernel kills whatever runs in the lab and waits for it. Measured with six nodes: under 1 s.
const END: Duration = Duration::from_secs(15);

/// What programs in the lab find in `PATH`, whatever the user has.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A living holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holder(pub(crate) ProcessId);

impl Holder {
    /// Starts a holder for the lab.
    pub(super) fn start(paths: &LabPaths, driver: Driver) -> Result<Self, LabError> {
        let directory = paths.libvirt();
        prepare(&directory, driver)?;
        cgroup::tidy().map_err(LabError::io("tidying the cgroups of", paths.root()))?;
        let log = directory.join("holder.log");
        let stderr = fs::File::create(&log).map_err(LabError::io("making", &log))?;
        let mut command = Command::new("setsid");
        command
            .args([
                "--fork",
                "unshare",
                "--net",
                "--mount",
                "--pid",
                "--fork",
                "--mount-proc",
            ])
            // Unmounts on the host must reach the lab, or it would keep the user's disks busy.
            .args(["--propagation", "slave", "sh", "-eu"])
            .arg(directory.join(SCRIPT.0))
            .arg(paths.root())
            .current_dir("/")
            .env_clear()
            .env("PATH", PATH)
            .env(MARK, paths.root())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr);
        let mut child = command.spawn().map_err(missing("setsid", "util-linux"))?;
        let answer = child
            .stdout
            .take()
            .map(|output| first_line(output, START))
            .transpose();
        child
            .wait()
            .map_err(LabError::io("starting the holder of", paths.root()))?;
        match answer {
            Ok(Some(line)) if line == "ready" => {}
            _ => return Err(not_made(paths, &log)),
        }
        // It is about to become another program, and in the middle of that a process shows no environment.
        let deadline = Instant::now() + START;
        loop {
            if let Some(process) = marked(paths.root()).into_iter().find(is_holder) {
                return Ok(Self(process));
            }
            if Instant::now() > deadline {
                return Err(not_made(paths, &log));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Starts what does not answer of libvirt's daemons; their names are returned.
    pub(super) fn ensure_daemons(self) -> Result<Vec<&'static str>, LabError> {
        let mut started = Vec::new();
        for (daemon, socket) in DAEMONS {
            if self.answers(socket) {
                continue;
            }
            let output = self
                .command("timeout")
                .args(["30", daemon, "--daemon"])
                .env_clear()
                .env("PATH", PATH)
                .env("LIBVIRT_DRIVER_DIR", format!("{LAB}/libvirt/drivers"))
                .stdin(Stdio::null())
                .output()
                .map_err(missing("nsenter", "util-linux"))?;
            // 127: the program is missing.
            if output.status.code() == Some(127) {
                return Err(LabError::Missing {
                    tool: daemon.to_owned(),
                    package: "libvirt-daemon",
                });
            }
            // It fails while one that a killed `regent` began to start holds the file with its number.
            let deadline = Instant::now() + START;
            while !self.answers(socket) && Instant::now() < deadline {
                // A socket says nothing when it comes into being.
                std::thread::sleep(Duration::from_millis(10));
            }
            if !self.answers(socket) {
                let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
                return Err(LabError::Daemon { daemon, said });
            }
            started.push(daemon);
        }
        Ok(started)
    }

    /// Whether libvirtd takes connections.
    pub(super) fn libvirtd_answers(self) -> bool {
        self.answers("libvirt-sock")
    }

    fn answers(self, socket: &str) -> bool {
        UnixStream::connect(self.runtime_directory().join(socket)).is_ok()
    }

    /// The directory of libvirt's sockets, as seen from outside. Short, since a socket's path has 107 bytes at most.
    pub(super) fn runtime_directory(self) -> Utf8PathBuf {
        format!("/proc/{}/root/run/libvirt", self.0.pid).into()
    }

    /// Returns a command that runs in all the lab's namespaces.
    pub(crate) fn command(self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--target={}", self.0.pid))
            .args(["--net", "--mount", "--pid", "--", program]);
        command
    }
}

/// Whether a marked process is the one that holds: number 1 of its own namespace. `unshare`, which waits for it, is
/// marked as well.
fn is_holder(process: &ProcessId) -> bool {
    matches!(process.numbers()[..], [_, 1])
}

/// What the script of a holder that did not come to be said.
fn not_made(paths: &LabPaths, log: &Utf8Path) -> LabError {
    LabError::Holder {
        root: paths.root().to_owned(),
        log: fs::read_to_string(log)
            .unwrap_or_default()
            .trim()
            .to_owned(),
    }
}

/// Returns the processes that were started to hold the lab in this directory, half-made ones included. Anybody may put
/// a mark into an environment: it counts only where root did, in the user namespace that this process is in.
pub(super) fn marked(root: &Utf8Path) -> Vec<ProcessId> {
    let ours = ProcessId::of(std::process::id()).and_then(|process| process.namespace("user"));
    process::all()
        .filter(|process| process.environment(MARK).as_deref() == Some(root.as_str()))
        .filter(|process| counts(&process.users(), process.namespace("user"), ours.as_deref()))
        .collect()
}

/// Whether a mark counts, by the users that its process has (real, effective, saved, of the file system), and its user
/// namespace and ours.
fn counts(users: &[u32], theirs: Option<String>, ours: Option<&str>) -> bool {
    users == [0; 4] && ours.is_some() && theirs.as_deref() == ours
}

/// Ends every holder of the lab in this directory, and with it everything that runs there.
pub(super) fn end(paths: &LabPaths) -> Result<(), LabError> {
    let root = paths.root();
    let failed = |error| LabError::io("ending the processes of", root)(error);
    let deadline = Instant::now() + END;
    // Again until none is left: one may have been about to start another.
    loop {
        let holders = marked(root);
        if holders.is_empty() {
            return Ok(());
        }
        for holder in &holders {
            holder.kill().map_err(failed)?;
        }
        cgroup::of_cluster(paths.cluster())
            .and_then(|nodes| cgroup::thaw(&nodes))
            .map_err(failed)?;
        // For each: one that is dying shows no environment any more, while what it holds still lives.
        for holder in holders {
            let left = deadline.saturating_duration_since(Instant::now());
            if !holder.wait_gone(left).map_err(failed)? {
                return Err(LabError::Unkillable {
                    root: root.to_owned(),
                    pid: holder.pid,
                });
            }
        }
    }
}

/// Writes the daemons' configuration and gathers the drivers that they may load.
fn prepare(directory: &Utf8Path, driver: Driver) -> Result<(), LabError> {
    let (configuration, drivers) = (directory.join("etc"), directory.join("drivers"));
    match fs::remove_dir_all(&drivers) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(LabError::io("removing", &drivers)(error));
        }
        _ => {}
    }
    for directory in [&configuration, &drivers] {
        fs::create_dir_all(directory).map_err(LabError::io("making", directory))?;
    }
    let files = CONFIGURATION.map(|(name, text)| (configuration.join(name), text));
    let script = (directory.join(SCRIPT.0), SCRIPT.1);
    for (file, text) in files.into_iter().chain([script]) {
        fs::write(&file, text).map_err(LabError::io("writing", &file))?;
    }
    let installed = installed()?;
    for (driver, package) in parts(driver) {
        let name = format!("libvirt_driver_{driver}.so");
        let Some(installed) = installed
            .iter()
            .map(|place| place.join(&name))
            .find(|file| file.exists())
        else {
            return Err(LabError::Missing {
                tool: format!("libvirt's {driver} driver"),
                package,
            });
        };
        let link = drivers.join(name);
        std::os::unix::fs::symlink(&installed, &link).map_err(LabError::io("making", &link))?;
    }
    Ok(())
}

/// Returns where libvirt's drivers may be installed: `/usr/lib/ARCHITECTURE/libvirt` on Debian, `/usr/lib64` elsewhere.
fn installed() -> Result<Vec<Utf8PathBuf>, LabError> {
    let library = Utf8Path::new("/usr/lib");
    let mut places = vec![Utf8PathBuf::from("/usr/lib64"), library.to_owned()];
    for entry in library
        .read_dir_utf8()
        .map_err(LabError::io("reading", library))?
    {
        places.push(entry.map_err(LabError::io("reading", library))?.into_path());
    }
    Ok(places
        .into_iter()
        .map(|place| place.join("libvirt/connection-driver"))
        .collect())
}

/// Reads one line, waiting at most `patience`; what came until then if the other side has closed.
pub(super) fn first_line(
    mut output: impl io::Read + std::os::fd::AsFd,
    patience: Duration,
) -> io::Result<String> {
    let deadline = Instant::now() + patience;
    let mut line = Vec::new();
    while !line.ends_with(b"\n") {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(io::Error::other)?;
        if poll(&mut [PollFd::new(&output, PollFlags::IN)], Some(&left))? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut byte = [0];
        if output.read(&mut byte)? == 0 {
            break;
        }
        line.extend(byte);
    }
    Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
}

fn missing(tool: &'static str, package: &'static str) -> impl FnOnce(io::Error) -> LabError {
    move |error| match error.kind() {
        io::ErrorKind::NotFound => LabError::Missing {
            tool: tool.to_owned(),
            package,
        },
        _ => LabError::io("running", Utf8Path::new(tool))(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt as _;

    #[test]
    fn case_root_mark() {
        let own = || Some("user:[1]".to_owned());
        let ours = Some("user:[1]");
        assert!(counts(&[0; 4], own(), ours));
        assert!(!counts(&[1000; 4], own(), ours));
        // A program with the set-user-ID bit keeps its caller's environment.
        assert!(!counts(&[1000, 0, 0, 0], own(), ours));
        // Root of a namespace that an unprivileged user made.
        assert!(!counts(&[0; 4], Some("user:[2]".to_owned()), ours));
        assert!(!counts(&[0; 4], None, ours));
        assert!(!counts(&[0; 4], None, None));
        assert!(!counts(&[], own(), ours));
    }

    /// As far as the user that runs the tests lets it be shown.
    #[test]
    fn case_root_mark_of_another_user_is_not_seen() {
        let root = Utf8Path::new("/nowhere/case-root-mark");
        let marked_by = |user: Option<u32>| {
            let mut command = Command::new("sleep");
            command.arg("60").env(MARK, root.as_str());
            if let Some(user) = user {
                command.uid(user);
            }
            let Ok(mut child) = command.spawn() else {
                return None;
            };
            // A spawn returns a moment before the kernel shows the new program's environment.
            let environment = format!("/proc/{}/environ", child.id());
            let begun = Instant::now();
            while fs::read(&environment).is_ok_and(|text| text.is_empty()) {
                assert!(begun.elapsed() < Duration::from_secs(10), "no environment");
                std::thread::sleep(Duration::from_millis(1));
            }
            let found = marked(root).iter().any(|process| process.pid == child.id());
            child.kill().unwrap();
            child.wait().unwrap();
            Some(found)
        };
        if rustix::process::geteuid().is_root() {
            assert_eq!(marked_by(None), Some(true));
            assert_ne!(marked_by(Some(65534)), Some(true));
        } else {
            assert_eq!(marked_by(None), Some(false));
        }
    }
}
