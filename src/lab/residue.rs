//! What a lab could leave behind on a machine: a snapshot before and one after, and the difference.

use std::collections::BTreeSet;
use std::fs;
use std::io;

use camino::{Utf8Path, Utf8PathBuf};

use super::host::Host;
use super::{cgroup, mounts, process};

/// Host-wide settings that nodes, the kubelet or kube-proxy would like to change.
const SETTINGS: [&str; 9] = [
    "fs/inotify/max_user_instances",
    "fs/inotify/max_user_watches",
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "net/ipv4/ip_forward",
    "net/netfilter/nf_conntrack_max",
    "vm/overcommit_memory",
];

/// Directories of the system in which libvirt, or regent, keeps something.
const SHARED: [&str; 8] = [
    "/etc/libvirt",
    "/run/libvirt",
    "/run/netns",
    "/run/regent",
    "/run/regent.lock",
    "/var/cache/libvirt",
    "/var/lib/libvirt",
    "/var/log/libvirt",
];

/// Everything of a machine that a lab could leave behind or change, one line each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    lines: BTreeSet<String>,
    /// Whether labs of other state directories lived: what all labs share may then change without this one.
    others: bool,
}

impl Snapshot {
    /// Looks at the machine, and at everything in the state directory but the store, the evidence and what is known of the machine: processes that
    /// have something of it, mounts, interfaces, cgroups of machines,
    /// files, settings. Labs of other state directories, which come and go as they like, are left out.
    pub fn take(state: &Utf8Path) -> io::Result<Self> {
        let others = Host::new().elsewhere(state);
        let mut lines: BTreeSet<String> = processes(state).collect();
        for mount in mounts::all()? {
            lines.insert(format!("mount {} ({})", mount.point, mount.kind));
        }
        lines.extend(names("/sys/class/net".into())?.map(|name| format!("interface {name}")));
        let is_other = |path: &Utf8PathBuf| {
            others
                .iter()
                .any(|(cluster, _)| cgroup::belongs(path, cluster))
        };
        let cgroups = cgroup::machines()?
            .into_iter()
            .filter(|path| !is_other(path));
        lines.extend(cgroups.map(|path| format!("cgroup {path}")));
        let registry = others.is_empty().then_some("/run/regent");
        for directory in SHARED.into_iter().chain(registry).chain([state.as_str()]) {
            files(directory.into(), state, &mut lines)?;
        }
        for setting in SETTINGS {
            // Some are missing on some machines.
            if let Ok(value) = fs::read_to_string(format!("/proc/sys/{setting}")) {
                lines.insert(format!("setting {setting} = {}", value.trim()));
            }
        }
        Ok(Self {
            lines,
            others: !others.is_empty(),
        })
    }

    /// Returns what is there `after` and was not before (`+ …`), and what is gone (`- …`). Empty for a clean machine.
    /// Processes that have ended do not count.
    pub fn difference(&self, after: &Self) -> Vec<String> {
        let shared = |line: &str| line.contains("/run/regent") || line.contains(" fs/inotify/");
        let counts = |line: &&String| !(self.others || after.others) || !shared(line);
        let new = after.lines.difference(&self.lines).map(|line| ("+", line));
        let gone = self.lines.difference(&after.lines).map(|line| ("-", line));
        let gone = gone.filter(|(_, line)| !line.starts_with("process "));
        new.chain(gone)
            .filter(|(_, line)| counts(line))
            .map(|(sign, line)| format!("{sign} {line}"))
            .collect()
    }
}

/// Returns the processes that have something of the state directory: in their arguments, their environment, or
/// mounted where they live, as every process of a node has.
fn processes(state: &Utf8Path) -> impl Iterator<Item = String> {
    let host = fs::read_link("/proc/self/ns/mnt").ok();
    process::all().filter_map(move |process| {
        let has = |file: &str| {
            let text = fs::read(format!("/proc/{}/{file}", process.pid)).unwrap_or_default();
            String::from_utf8_lossy(&text).contains(state.as_str())
        };
        let elsewhere = fs::read_link(format!("/proc/{}/ns/mnt", process.pid)).ok() != host;
        let counts = has("cmdline") || has("environ") || (elsewhere && has("mountinfo"));
        // This process may well have it in its own arguments.
        let counts = counts && process.pid != std::process::id();
        counts.then(|| format!("process {} {}", process.pid, process.arguments().join(" ")))
    })
}

/// Returns the names in a directory.
fn names(directory: &Utf8Path) -> io::Result<impl Iterator<Item = String>> {
    let entries: Vec<_> = directory.read_dir_utf8()?.collect::<io::Result<_>>()?;
    Ok(entries
        .into_iter()
        .map(|entry| entry.file_name().to_owned()))
}

/// Adds a path and everything below it, if it is there.
fn files(top: &Utf8Path, state: &Utf8Path, lines: &mut BTreeSet<String>) -> io::Result<()> {
    let mut next: Vec<Utf8PathBuf> = vec![top.to_owned()];
    while let Some(path) = next.pop() {
        if ["store", "evidence", crate::machine::TRIAL]
            .map(|name| state.join(name))
            .contains(&path)
        {
            continue;
        }
        let Ok(metadata) = fs::symlink_metadata(&path) else {
            continue;
        };
        lines.insert(format!("file {path}"));
        if metadata.is_dir() {
            next.extend(names(&path)?.map(|name| path.join(name)));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt as _;
    use std::process::Command;

    #[test]
    fn a_file_a_directory_and_a_process_are_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let state = Utf8Path::from_path(directory.path()).unwrap();
        let before = Snapshot::take(state).unwrap();

        let nodes = state.join("labs/demo/nodes");
        fs::create_dir_all(&nodes).unwrap();
        fs::create_dir_all(state.join("store/abc")).unwrap();
        let mut child = Command::new("sleep")
            .arg0(&nodes)
            .arg("60")
            .spawn()
            .unwrap();
        let after = Snapshot::take(state).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();

        let own = |line: &String| line.contains(state.as_str());
        let found: Vec<String> = before.difference(&after).into_iter().filter(own).collect();
        let mut expected = vec![
            format!("+ file {state}/labs"),
            format!("+ file {state}/labs/demo"),
            format!("+ file {nodes}"),
            format!("+ process {} {nodes} 60", child.id()),
        ];
        expected.sort();
        assert_eq!(found, expected);
    }
}
