//! Processes, named so that a reused number cannot be mistaken for them.

use std::fs;
use std::io;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use serde::{Deserialize, Serialize};

/// A process of this machine: its number, and when it started. Both together never come again before
/// the next boot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct ProcessId {
    /// Its number as the host sees it.
    pub(crate) pid: u32,
    /// When it started, in clock ticks since boot: field 22 of `/proc/PID/stat`.
    pub(crate) started: u64,
}

impl ProcessId {
    /// Returns the process that has the number `pid` now, dead ones that nobody has waited for left out.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let started = started(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?;
        Some(Self { pid, started })
    }

    /// Whether it lives.
    pub(crate) fn is_alive(self) -> bool {
        Self::of(self.pid) == Some(self)
    }

    /// Kills it. One that is gone already is fine.
    pub(crate) fn kill(self) -> io::Result<()> {
        let Some(descriptor) = self.open()? else {
            return Ok(());
        };
        match pidfd_send_signal(descriptor, Signal::KILL) {
            Err(error) if error != Errno::SRCH => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Waits until it is gone, at most `patience`; false if it still lives then. The kernel wakes the waiter.
    pub(crate) fn wait_gone(self, patience: Duration) -> io::Result<bool> {
        let Some(descriptor) = self.open()? else {
            return Ok(true);
        };
        let timeout = Timespec::try_from(patience).map_err(io::Error::other)?;
        let mut wanted = [PollFd::new(&descriptor, PollFlags::IN)];
        Ok(poll(&mut wanted, Some(&timeout))? > 0)
    }

    /// Returns the value of a variable of its environment, as it was when its program began.
    pub(super) fn environment(self, variable: &str) -> Option<String> {
        let all = fs::read(format!("/proc/{}/environ", self.pid)).ok()?;
        all.split(|byte| *byte == 0)
            .filter_map(|entry| std::str::from_utf8(entry).ok()?.split_once('='))
            .find(|(name, _)| *name == variable)
            .map(|(_, value)| value.to_owned())
    }

    /// Returns its arguments.
    pub(crate) fn arguments(self) -> Vec<String> {
        let all = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        let all = all.strip_suffix(b"\0").unwrap_or(&all);
        all.split(|byte| *byte == 0)
            .map(|argument| String::from_utf8_lossy(argument).into_owned())
            .collect()
    }

    /// Returns its numbers, from the host's PID namespace to its own.
    pub(crate) fn numbers(self) -> Vec<u32> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
        line.unwrap_or_default()
            .split_whitespace()
            .filter_map(|number| number.parse().ok())
            .collect()
    }

    /// Returns its users: real, effective, saved, of the file system; as this process's user namespace sees them.
    pub(super) fn users(self) -> Vec<u32> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("Uid:"));
        line.unwrap_or_default()
            .split_whitespace()
            .filter_map(|number| number.parse().ok())
            .collect()
    }

    /// Returns what identifies its namespace of a kind (`net`, `pid`, `mnt`…).
    pub(crate) fn namespace(self, kind: &str) -> Option<String> {
        let link = fs::read_link(format!("/proc/{}/ns/{kind}", self.pid)).ok()?;
        Some(link.to_string_lossy().into_owned())
    }

    /// Returns its living children.
    pub(crate) fn children(self) -> Vec<Self> {
        all()
            .filter(|child| child.parent() == Some(self.pid))
            .collect()
    }

    /// Whether that process began it, or began who did.
    pub(super) fn descends_from(self, ancestor: u32) -> bool {
        let parents = std::iter::successors(self.parent(), |pid| Self::of(*pid)?.parent());
        // The first process of all has no parent, and calls it 0.
        parents
            .take_while(|pid| *pid != 0)
            .any(|pid| pid == ancestor)
    }

    fn parent(self) -> Option<u32> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        fields(&stat)?.nth(1)?.parse().ok()
    }

    fn open(self) -> io::Result<Option<rustix::fd::OwnedFd>> {
        let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) else {
            return Ok(None);
        };
        let descriptor = match pidfd_open(pid, PidfdFlags::empty()) {
            // The last two, by Linux's version, where nobody but a group or a session has the number any more.
            Err(Errno::SRCH | Errno::INVAL | Errno::NOENT) => return Ok(None),
            other => other?,
        };
        // The descriptor is bound to whoever has the number by now; only this tells whether it is still the same.
        Ok(self.is_alive().then_some(descriptor))
    }
}

/// Returns every living process.
pub(crate) fn all() -> impl Iterator<Item = ProcessId> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(ProcessId::of)
}

/// Reads the start time from the text of `/proc/PID/stat`; none for a dead process.
pub(crate) fn started(stat: &str) -> Option<u64> {
    let mut fields = fields(stat)?;
    let state = fields.next()?;
    // State is field 3, the start time field 22.
    let started = fields.nth(18)?.parse().ok()?;
    (!matches!(state, "Z" | "X")).then_some(started)
}

/// Returns the fields of `/proc/PID/stat` from the third on.
fn fields(stat: &str) -> Option<impl Iterator<Item = &str>> {
    // The second is the program's name in parentheses and may hold anything, so count from its end.
    Some(stat.get(stat.rfind(')')? + 1..)?.split_whitespace())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    #[test]
    fn a_name_in_parentheses_may_hold_anything() {
        let tail = "1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(started(&format!("12 (a) b) S {tail}")), Some(4711));
        assert_eq!(started(&format!("12 (a) Z {tail}")), None);
        assert_eq!(started(""), None);
    }

    #[test]
    fn a_process_is_found_by_its_environment_killed_and_missed() {
        let mut child = Command::new("sleep")
            .arg("60")
            .env("REGENT_TEST", "a b")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let process = ProcessId::of(child.id()).unwrap();
        assert!(
            ProcessId::of(std::process::id())
                .unwrap()
                .children()
                .contains(&process)
        );
        assert!(!process.wait_gone(Duration::from_millis(1)).unwrap());
        // `spawn` may return while exec is under way, when a process shows no environment yet.
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while process.environment("REGENT_TEST").is_none() && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
        assert_eq!(process.environment("REGENT_TEST").as_deref(), Some("a b"));
        assert_eq!(process.arguments(), ["sleep", "60"]);

        let other = ProcessId {
            started: process.started + 1,
            ..process
        };
        other.kill().unwrap();
        assert!(process.is_alive() && !other.is_alive());

        process.kill().unwrap();
        assert!(process.wait_gone(Duration::from_secs(5)).unwrap());
        assert!(!process.is_alive());
        child.wait().unwrap();
        process.kill().unwrap();
    }
}
