//! Another host, played by a private lab: its namespaces, its libvirt, and an SSH server at an address that this machine
//! reaches.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use regent::event::Events;
use regent::image::NodeImage;
use regent::lab::{Lab, LabPaths};
use regent::plan::Plan;

use crate::lab::{Result, State, holder, planned_machines};

/// This machine's and the other host's end of the cable between them (RFC 5737, for documentation).
const ENDS: [(&str, &str); 2] = [("rg-here", "203.0.113.1"), ("rg-there", "203.0.113.2")];

/// What the SSH server is told: keys only, and commands run where the lab's libvirt is, not where the server is.
const SERVER: &str = r#"ListenAddress 203.0.113.2
HostKey /run/sshd-test/host_key
AuthorizedKeysFile /run/sshd-test/key.pub
StrictModes no
PidFile none
PasswordAuthentication no
KbdInteractiveAuthentication no
ForceCommand exec nsenter --target 1 --mount -- /bin/sh -c "$SSH_ORIGINAL_COMMAND"
"#;

/// A server takes some ms to listen; the rest is for a busy machine.
const LISTEN: Duration = Duration::from_secs(10);

/// The host, until it is [ended](OtherHost::end) or dropped.
pub struct OtherHost {
    state: State,
    plan: Plan,
    paths: LabPaths,
    /// The process that holds its namespaces.
    holder: u64,
    /// Keys and configurations of SSH.
    directory: Utf8PathBuf,
    server: Child,
}

impl OtherHost {
    pub fn start(image: &NodeImage) -> Result<Self> {
        let (state, plan) = (State::new()?, planned_machines("elsewhere", 1)?);
        let paths = state.lab(&plan);
        drop(Lab::enter(&paths, &plan, &Events::none())?);
        // A lab's own libvirt needs no storage pools; a host's does.
        let drivers = paths.libvirt().join("drivers");
        let storage = "libvirt_driver_storage.so";
        let installed =
            fs::read_link(drivers.join("libvirt_driver_qemu.so"))?.with_file_name(storage);
        if !installed.exists() {
            return Err("libvirt's storage driver is not installed: apt-get install libvirt-daemon-driver-storage".into());
        }
        symlink(installed, drivers.join(storage))?;
        let holder = holder(&paths)?;
        let pid = fs::read_to_string(paths.libvirt().join("run/libvirtd.pid"))?;
        run(&inside(holder), &["kill", "-9", pid.trim()])?;
        restart(&paths, &plan)?;

        let [(here, near), (there, far)] = ENDS;
        let namespace = holder.to_string();
        let [near, far] = [near, far].map(|address| format!("{address}/30"));
        run(
            &[],
            &[
                "ip", "link", "add", here, "type", "veth", "peer", "name", there, "netns",
                &namespace,
            ],
        )?;
        for (prefix, end, address) in [(vec![], here, near), (inside(holder), there, far)] {
            run(&prefix, &["ip", "address", "add", &address, "dev", end])?;
            run(&prefix, &["ip", "link", "set", end, "up"])?;
        }
        let directory = state.path().join("ssh");
        write_configuration(&directory)?;
        let mut server = Command::new("nsenter");
        server
            .args(&inside(holder)[1..])
            .args(["unshare", "--mount", "--propagation", "private"]);
        server.args(["sh", "-euc", include_str!("other-host.sh"), "sh"]);
        server.args([
            format!("/run/host{}", image.root).as_str(),
            directory.as_str(),
        ]);
        let log = fs::File::create(directory.join("log"))?;
        let server = server
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        let host = Self {
            state,
            plan,
            paths,
            holder,
            directory,
            server,
        };
        host.listens()?;
        Ok(host)
    }

    /// The URI of its libvirt.
    pub fn uri(&self) -> String {
        format!(
            "qemu+ssh://root@{}/system?command={}/ssh",
            ENDS[1].1, self.directory
        )
    }

    /// Makes its key known to this machine's `ssh`.
    pub fn make_known(&self) -> Result {
        let key = fs::read_to_string(self.directory.join("host_key.pub"))?;
        Ok(fs::write(
            self.directory.join("known_hosts"),
            format!("{} {key}", ENDS[1].1),
        )?)
    }

    /// The names in its storage pool, in order.
    pub fn volumes(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in self.volume("").read_dir_utf8()? {
            names.push(entry?.file_name().to_owned());
        }
        names.sort();
        Ok(names)
    }

    /// A volume, as this machine sees the file.
    pub fn volume(&self, name: &str) -> Utf8PathBuf {
        self.paths
            .libvirt()
            .join("var/lib/regent/volumes")
            .join(name)
    }

    /// Whether its libvirt has a domain or a network of this name.
    pub fn has_defined(&self, name: &str) -> bool {
        let defined = self.paths.libvirt().join("etc/qemu");
        ["", "networks"]
            .iter()
            .any(|kind| defined.join(kind).join(format!("{name}.xml")).exists())
    }

    /// Whether a process runs there, as the host counts them. A dead one that is not yet taken away does not.
    pub fn runs(&self, pid: &str) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/root/proc/{pid}/stat", self.holder));
        stat.is_ok_and(|stat| !stat.contains(") Z "))
    }

    /// This machine's processes that have logged in there.
    pub fn logins(&self) -> Vec<u32> {
        let configuration = format!("{}/ssh_config", self.directory);
        let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
        processes
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid: &u32| {
                let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                String::from_utf8_lossy(&arguments).contains(&configuration)
            })
            .collect()
    }

    /// Takes it away, and fails if this machine is not as it was before.
    pub fn end(mut self) -> Result {
        self.state.down(&self.plan)?;
        self.server.wait()?;
        self.unplug();
        fs::remove_dir_all(&self.directory)?;
        self.state.nothing_is_left()
    }

    /// The kernel keeps a network namespace as long as it tries to tell a dead node that a connection has ended: a minute
    /// or two. The cable need not stay that long.
    fn unplug(&self) {
        let _ = run(&[], &["ip", "link", "delete", ENDS[0].0]);
    }

    fn listens(&self) -> Result {
        let deadline = Instant::now() + LISTEN;
        let address = (ENDS[1].1, 22);
        while std::net::TcpStream::connect(address).is_err() {
            if Instant::now() > deadline {
                let log = fs::read_to_string(self.directory.join("log"))?;
                return Err(format!("the other host's sshd does not listen: {log}").into());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }
}

impl Drop for OtherHost {
    fn drop(&mut self) {
        self.unplug();
    }
}

/// Starts its libvirtd, which was killed and may be about to go.
fn restart(paths: &LabPaths, plan: &Plan) -> Result {
    let deadline = Instant::now() + LISTEN;
    while Lab::find(paths)?.is_some_and(|lab| lab.libvirtd_answers()) {
        if Instant::now() > deadline {
            return Err("the other host's libvirtd does not die".into());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(Lab::enter(paths, plan, &Events::none())?);
    Ok(())
}

/// Writes keys, what the server is told, and a program for the URI that stands for a user's own configuration.
fn write_configuration(directory: &Utf8Path) -> Result {
    fs::create_dir(directory)?;
    for key in ["host_key", "key"] {
        let file = directory.join(key);
        run(
            &[],
            &[
                "ssh-keygen",
                "-q",
                "-t",
                "ed25519",
                "-N",
                "",
                "-f",
                file.as_str(),
            ],
        )?;
    }
    fs::write(directory.join("sshd_config"), SERVER)?;
    let client = format!(
        "UserKnownHostsFile {directory}/known_hosts\nGlobalKnownHostsFile none\nIdentityFile {directory}/key\nIdentitiesOnly yes\n"
    );
    fs::write(directory.join("ssh_config"), client)?;
    let program = directory.join("ssh");
    fs::write(
        &program,
        format!("#!/bin/sh\nexec ssh -F {directory}/ssh_config \"$@\"\n"),
    )?;
    Ok(fs::set_permissions(
        &program,
        fs::Permissions::from_mode(0o755),
    )?)
}

/// How a command begins that runs in the namespaces of a holder.
fn inside(holder: u64) -> Vec<String> {
    let target = format!("--target={holder}");
    ["nsenter", &target, "--net", "--mount", "--pid", "--"]
        .map(str::to_owned)
        .into()
}

fn run(prefix: &[String], command: &[&str]) -> Result {
    let words: Vec<_> = prefix
        .iter()
        .map(String::as_str)
        .chain(command.iter().copied())
        .collect();
    let output = Command::new(words[0]).args(&words[1..]).output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{words:?}: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}
