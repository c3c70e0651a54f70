//! What is mounted, read from `/proc/self/mountinfo`.

use std::io;

use camino::{Utf8Path, Utf8PathBuf};

/// One mount.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mount {
    /// Where.
    pub(super) point: Utf8PathBuf,
    /// Its file system type.
    pub(super) kind: String,
}

/// Returns what is mounted in the mount namespace of this process, in the order of mounting.
pub(super) fn all() -> io::Result<Vec<Mount>> {
    of(std::process::id())
}

/// Returns what is mounted in the mount namespace of a process.
pub(super) fn of(process: u32) -> io::Result<Vec<Mount>> {
    Ok(parse(&std::fs::read_to_string(format!(
        "/proc/{process}/mountinfo"
    ))?))
}

fn parse(mountinfo: &str) -> Vec<Mount> {
    mountinfo
        .lines()
        .filter_map(|line| {
            // The fields before ` - ` vary in number, see proc_pid_mountinfo(5).
            let (before, after) = line.split_once(" - ")?;
            Some(Mount {
                point: unescape(before.split(' ').nth(4)?).into(),
                kind: after.split(' ').next()?.to_owned(),
            })
        })
        .collect()
}

/// Undoes the kernel's `\040` for a space and so on.
fn unescape(field: &str) -> String {
    let mut parts = field.split('\\');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match part.get(..3).map(|octal| u8::from_str_radix(octal, 8)) {
            Some(Ok(byte)) => {
                text.push(char::from(byte));
                text.push_str(&part[3..]);
            }
            _ => {
                text.push('\\');
                text.push_str(part);
            }
        }
    }
    text
}

/// Unmounts everything at and below `directory` in this process's mount namespace, the last mounted first.
pub(super) fn unmount_below(directory: &Utf8Path) -> io::Result<()> {
    for mount in all()?.iter().rev() {
        if mount.point.starts_with(directory) {
            // Detached rather than waited for: a process that stands in it must not keep the lab from going.
            rustix::mount::unmount(mount.point.as_str(), rustix::mount::UnmountFlags::DETACH)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_is_read_with_optional_fields_and_escapes() {
        let text = "36 35 98:0 /mnt1 /a\\040b rw,noatime master:1 shared:2 - ext3 /dev/root rw\n\
                    37 36 0:5 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let expected =
            [("/a b", "ext3"), ("/sys/fs/cgroup", "cgroup2")].map(|(point, kind)| Mount {
                point: point.into(),
                kind: kind.into(),
            });
        assert_eq!(parse(text), expected);
    }
}
