//! Facts about a machine, read from the texts that the kernel and the tools give. Pure.

/// Whether the kernel knows a file system, from `/proc/filesystems`.
pub(super) fn knows_filesystem(filesystems: &str, name: &str) -> bool {
    filesystems
        .lines()
        .any(|line| line.split_whitespace().last() == Some(name))
}

/// Go's version, from `go version`: `go version go1.26.8 linux/amd64` is (1, 26).
pub(super) fn go_version(text: &str) -> Option<(u32, u32)> {
    let version = text.split_whitespace().nth(2)?.strip_prefix("go")?;
    let mut parts = version.split('.');
    let major = parts.next()?.parse().ok()?;
    // A pre-release reads `1.27rc1`.
    let minor = parts.next()?;
    let digits = minor
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(minor.len());
    Some((major, minor[..digits].parse().ok()?))
}

/// QEMU's version, from what the trial calls it: `QEMU 10.0.2 (Debian …)` is (10, 0).
pub(super) fn qemu_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.strip_prefix("QEMU ")?.split(['.', ' ']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// Which of `wanted` have no mounted cgroup hierarchy, of either version.
///
/// `mounts` is `/proc/self/mounts`, `unified` the root's `cgroup.controllers` (empty where version 2 has none).
pub(super) fn missing_controllers<'a>(
    mounts: &str,
    unified: &str,
    wanted: &[&'a str],
) -> Vec<&'a str> {
    let version1 = || {
        mounts.lines().filter_map(|line| {
            let mut fields = line.split(' ');
            let options = fields.nth(3)?;
            let kind = line.split(' ').nth(2)?;
            (kind == "cgroup").then_some(options)
        })
    };
    let has = |controller: &str| {
        unified.split_whitespace().any(|c| c == controller)
            || version1().any(|options| options.split(',').any(|option| option == controller))
    };
    wanted.iter().copied().filter(|c| !has(c)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_versions() {
        assert_eq!(go_version("go version go1.26.8 linux/amd64"), Some((1, 26)));
        assert_eq!(
            go_version("go version go1.27rc1 linux/amd64"),
            Some((1, 27))
        );
        assert_eq!(go_version("go version go1.19 linux/amd64"), Some((1, 19)));
        assert_eq!(go_version("command not found"), None);
    }

    #[test]
    fn qemu_versions() {
        assert_eq!(
            qemu_version("QEMU 10.0.2 (Debian 1:10.0.2+ds-2~bpo12+1)"),
            Some((10, 0))
        );
        assert_eq!(qemu_version("QEMU 7.2.18"), Some((7, 2)));
        assert_eq!(qemu_version("10.0.2"), None);
    }

    #[test]
    fn controllers_of_both_versions_count() {
        let hybrid = "cgroup /sys/fs/cgroup/memory cgroup rw,relatime,memory 0 0\n\
                      cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpu,cpuacct 0 0\n\
                      cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        let wanted = ["cpu", "memory", "pids"];
        assert_eq!(missing_controllers(hybrid, "", &wanted), ["pids"]);
        let unified = "cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n";
        assert!(missing_controllers(unified, "cpuset cpu io memory pids\n", &wanted).is_empty());
    }

    #[test]
    fn filesystems_with_and_without_device() {
        let text = "nodev\tsysfs\nnodev\toverlay\n\text4\n";
        assert!(knows_filesystem(text, "overlay"));
        assert!(knows_filesystem(text, "ext4"));
        assert!(!knows_filesystem(text, "over"));
    }
}
