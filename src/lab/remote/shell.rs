//! A shell at the other end of a running `ssh`.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::process::{Child, ChildStdin, ChildStdout};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::RemoteError;

/// The running `ssh` with its shell.
pub(super) struct Shell {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
    /// What ends every answer.
    mark: String,
    host: String,
    log: Utf8PathBuf,
}

impl Shell {
    /// The shell of an `ssh` to `host` that complains into `log`. None if its pipes are not at hand.
    pub(super) fn of(mut child: Child, host: &str, log: &Utf8Path) -> Option<Self> {
        Some(Self {
            input: child.stdin.take()?,
            output: child.stdout.take()?,
            mark: format!("regent-{}-{}", std::process::id(), child.id()),
            host: host.to_owned(),
            log: log.to_owned(),
            child,
        })
    }

    pub(super) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Runs a script; its exit code and what it said.
    pub(super) fn ask(
        &mut self,
        script: &str,
        patience: Duration,
    ) -> Result<(u32, String), RemoteError> {
        // In parentheses, so that it may end early, and with nothing to read, or it would eat the next one.
        let text = format!(
            "(\n{script}\n) </dev/null 2>&1\nprintf '\\n%s %s\\n' {} $?\n",
            self.mark
        );
        if self.input.write_all(text.as_bytes()).is_err() {
            return Err(self.lost());
        }
        let deadline = Instant::now() + patience;
        let mut said = Vec::new();
        loop {
            if let Some(answer) = answer(&said, &self.mark) {
                return Ok(answer);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match read_some(&mut self.output, left) {
                Ok(Some(bytes)) if bytes.is_empty() => return Err(self.lost()),
                Ok(Some(bytes)) => said.extend(bytes),
                Ok(None) => {
                    return Err(RemoteError::Silent {
                        host: self.host.clone(),
                        waited: patience,
                    });
                }
                Err(_) => return Err(self.lost()),
            }
        }
    }

    fn lost(&mut self) -> RemoteError {
        // Its last words are written by the time that it is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
        lost(&self.host, &self.log)
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The error of a connection that ended, with what SSH said at last.
pub(super) fn lost(host: &str, log: &Utf8Path) -> RemoteError {
    let said = fs::read_to_string(log).unwrap_or_default();
    let mut lines = said.lines().map(str::trim);
    // Before the last line may be a banner; the last says why.
    let said = lines.rfind(|line| !line.is_empty());
    RemoteError::Lost {
        host: host.to_owned(),
        said: said.unwrap_or("it said nothing").to_owned(),
    }
}

/// Reads what is there, waiting at most `patience` for the first byte; none if there was none, empty at the end.
fn read_some(output: &mut ChildStdout, patience: Duration) -> io::Result<Option<Vec<u8>>> {
    let patience = Timespec::try_from(patience).map_err(io::Error::other)?;
    if poll(&mut [PollFd::new(&*output, PollFlags::IN)], Some(&patience))? == 0 {
        return Ok(None);
    }
    let mut bytes = vec![0; 4096];
    let length = output.read(&mut bytes)?;
    bytes.truncate(length);
    Ok(Some(bytes))
}

/// Takes an answer apart, once it is whole: the exit code stands behind the mark on the last line.
fn answer(said: &[u8], mark: &str) -> Option<(u32, String)> {
    let text = said.strip_suffix(b"\n")?;
    let line = text.iter().rposition(|byte| *byte == b'\n')?;
    let code = std::str::from_utf8(&text[line + 1..]).ok()?;
    let code = code.strip_prefix(mark)?.strip_prefix(' ')?.parse().ok()?;
    Some((code, String::from_utf8_lossy(&text[..line]).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_whole_and_end_with_the_exit_code() {
        assert_eq!(
            answer(b"one\ntwo\n\nmark 0\n", "mark"),
            Some((0, "one\ntwo\n".to_owned()))
        );
        assert_eq!(answer(b"\nmark 3\n", "mark"), Some((3, String::new())));
        assert_eq!(answer(b"one\nmark", "mark"), None);
        assert_eq!(answer(b"one\nmark 0 \ntwo\n", "mark"), None);
    }
}
