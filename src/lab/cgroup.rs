//! The cgroup directories of nodes. Their names carry cluster and node, so they are found without
//! any record: `machine/CLUSTER-NODE`, which a node makes for itself, and libvirt's own
//! `machine/lxc-ID-CLUSTER-NODE.libvirt-lxc`, or `qemu` for `lxc`.

use std::fs;
use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};

use super::mounts;
use super::process::ProcessId;
use crate::name::{ClusterName, NodeName};

/// How long the kernel may take to let go of a directory whose processes are dead. Seen: under 100 ms.
const RELEASE: Duration = Duration::from_secs(5);

/// Returns the directories of one domain, in every hierarchy.
pub(crate) fn of_domain(domain: &str) -> io::Result<Vec<Utf8PathBuf>> {
    let mut found = machines()?;
    found.retain(|directory| owner(directory) == domain);
    Ok(found)
}

/// Returns the directories of all domains of a cluster, in every hierarchy.
pub(super) fn of_cluster(cluster: &ClusterName) -> io::Result<Vec<Utf8PathBuf>> {
    let mut found = machines()?;
    found.retain(|directory| belongs(directory, cluster));
    Ok(found)
}

/// Whether a directory is of a domain of the cluster.
pub(super) fn belongs(directory: &Utf8Path, cluster: &ClusterName) -> bool {
    owner(directory)
        .strip_prefix(cluster.as_str())
        .and_then(|rest| rest.strip_prefix('-'))
        // A node's name has no hyphen, or `a-b-m1` could be of cluster `a` as well as of `a-b`.
        .is_some_and(|node| !node.contains('-') && node.parse::<NodeName>().is_ok())
}

/// Removes empty directories `machine`, which whoever was killed has left. With one in some hierarchies and none in others
/// libvirt 9.0 starts no container: `cpuset/machine/lxc-…/tasks: No such file or directory`.
pub(super) fn tidy() -> io::Result<()> {
    for directory in parents()? {
        // Refused, as it should be, while something is in it.
        let _ = fs::remove_dir(directory);
    }
    Ok(())
}

/// The directories `machine`, there or not: one a hierarchy.
fn parents() -> io::Result<impl Iterator<Item = Utf8PathBuf>> {
    let hierarchies = mounts::all()?.into_iter();
    Ok(hierarchies
        .filter(|mount| matches!(mount.kind.as_str(), "cgroup" | "cgroup2"))
        .map(|mount| mount.point.join("machine")))
}

/// Returns the directories of all domains, whoever they belong to.
pub(super) fn machines() -> io::Result<Vec<Utf8PathBuf>> {
    let mut found = Vec::new();
    for parent in parents()? {
        let entries = match parent.read_dir_utf8() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                found.push(entry.into_path());
            }
        }
    }
    Ok(found)
}

/// Returns the domain that a directory below `machine` belongs to.
fn owner(directory: &Utf8Path) -> &str {
    let name = directory.file_name().unwrap_or_default();
    ["lxc", "qemu"]
        .iter()
        .find_map(|driver| {
            let rest = name.strip_suffix(&format!(".libvirt-{driver}"))?;
            rest.strip_prefix(driver)?
                .strip_prefix('-')?
                .split_once('-')
        })
        .map_or(name, |(_id, domain)| domain)
}

/// Whether a directory, or one below it, has a process that lives.
pub(super) fn is_populated(directory: &Utf8PathBuf) -> bool {
    let lives = |pid: &str| pid.parse().ok().and_then(ProcessId::of).is_some();
    tree(directory).iter().any(|directory| {
        let members = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
        members.lines().any(lives)
    })
}

/// Kills every process in these directories and below.
pub(crate) fn kill(directories: &[Utf8PathBuf]) -> io::Result<()> {
    for directory in directories.iter().flat_map(tree) {
        let members = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
        for pid in members.lines().filter_map(|line| line.parse().ok()) {
            if let Some(process) = ProcessId::of(pid) {
                process.kill()?;
            }
        }
    }
    Ok(())
}

/// Lets suspended processes in these directories run on; none can die before that, not even of a SIGKILL.
pub(crate) fn thaw(directories: &[Utf8PathBuf]) -> io::Result<()> {
    for directory in directories {
        for (file, thawed) in [("freezer.state", "THAWED"), ("cgroup.freeze", "0")] {
            match fs::OpenOptions::new()
                .write(true)
                .open(directory.join(file))
            {
                Ok(mut file) => file.write_all(thawed.as_bytes())?,
                // Of another version of cgroups, another hierarchy, or gone.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}

/// Removes these directories with what is below them, and `machine` itself when it has become empty.
pub(crate) fn remove(directories: &[Utf8PathBuf]) -> io::Result<()> {
    let deadline = Instant::now() + RELEASE;
    for top in directories {
        for directory in tree(top).into_iter().rev() {
            loop {
                match fs::remove_dir(&directory) {
                    Ok(()) => break,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => break,
                    // There is no event for "the last dead process has left".
                    Err(_) if Instant::now() < deadline => {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    Err(error) => {
                        return Err(io::Error::new(
                            error.kind(),
                            format!("{directory}: {error}"),
                        ));
                    }
                }
            }
        }
        if let Some(machine) = top.parent() {
            // Refused, as it should be, while something else is in it.
            let _ = fs::remove_dir(machine);
        }
    }
    Ok(())
}

/// Returns a directory and all below it, each before what it contains.
fn tree(top: &Utf8PathBuf) -> Vec<Utf8PathBuf> {
    let mut found = vec![top.clone()];
    let mut next = 0;
    while let Some(directory) = found.get(next).cloned() {
        next += 1;
        let entries = directory.read_dir_utf8().into_iter().flatten().flatten();
        found.extend(
            entries
                .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                .map(camino::Utf8DirEntry::into_path),
        );
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A foreign domain `demo-db` beside a lab called `demo`: its name belongs, its processes do not.
    #[test]
    fn case_foreign_what_lives_under_a_lab_s_name_is_seen_to_live() {
        let scratch = tempfile::tempdir().unwrap();
        let top = Utf8PathBuf::from_path_buf(scratch.path().join("demo-db")).unwrap();
        assert!(belongs(&top, &"demo".parse().unwrap()));
        fs::create_dir_all(top.join("init.scope")).unwrap();
        assert!(!is_populated(&top));
        let members = top.join("init.scope/cgroup.procs");
        fs::write(&members, format!("{}\n", std::process::id())).unwrap();
        assert!(is_populated(&top));
        // Dead, and not waited for by anybody any more.
        fs::write(&members, "4194304\n").unwrap();
        assert!(!is_populated(&top));
    }

    #[test]
    fn directories_name_their_domain_and_cluster() {
        for (directory, domain, cluster) in [
            ("demo-m1", "demo-m1", "demo"),
            ("lxc-4711-demo-m1.libvirt-lxc", "demo-m1", "demo"),
            ("lxc-4711-a-b-m1.libvirt-lxc", "a-b-m1", "a-b"),
            ("qemu-1-demo-m1.libvirt-qemu", "demo-m1", "demo"),
        ] {
            let directory = Utf8Path::new("/sys/fs/cgroup/cpu/machine").join(directory);
            assert_eq!(owner(&directory), domain);
            assert!(belongs(&directory, &cluster.parse().unwrap()));
            assert!(!belongs(&directory, &"a".parse().unwrap()));
        }
        let other = "qemu-1-demo-m1.libvirt-lxc";
        assert_eq!(owner(other.into()), other);
    }
}
