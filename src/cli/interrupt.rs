//! Signals that ask a command to stop: the first asks it to clean up, the second ends the process at once.

use std::ffi::c_int;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What the process exits with when it was interrupted.
const INTERRUPTED: u8 = 130;

/// Ctrl-C, a service manager's wish, a terminal that has gone, and a reader of our output that has.
#[derive(Debug)]
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// None where whoever started this process wants it to outlive the terminal, as `nohup` does.
    hang_up: Option<Signal>,
    pipe: Signal,
}

/// Who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// Somebody, who may ask again.
    Asked,
    /// A reader has gone, perhaps of our output. It comes again with everything that is written, and there is no one to
    /// tell.
    Unread,
}

impl Signals {
    fn new() -> io::Result<Self> {
        let hang_up = match is_ignored(&own_status(), SignalKind::hangup()) {
            true => None,
            false => Some(signal(SignalKind::hangup())?),
        };
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up,
            pipe: signal(SignalKind::pipe())?,
        })
    }

    async fn next(&mut self) -> Wish {
        let hang_up = async {
            match &mut self.hang_up {
                Some(hang_up) => hang_up.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = self.interrupt.recv() => Wish::Asked,
            _ = self.terminate.recv() => Wish::Asked,
            _ = hang_up => Wish::Asked,
            _ = self.pipe.recv() => Wish::Unread,
        }
    }
}

/// Whether what is written there reaches nobody: a pipe or a socket whose other end is closed.
fn is_unread(output: BorrowedFd<'_>) -> bool {
    let mut asked = [PollFd::from_borrowed_fd(output, PollFlags::empty())];
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // What cannot be asked is not known to be closed.
    let answered = poll(&mut asked, Some(&at_once)).unwrap_or(0);
    answered > 0
        && asked[0]
            .revents()
            .intersects(PollFlags::ERR | PollFlags::HUP)
}

fn own_status() -> String {
    std::fs::read_to_string("/proc/self/status").unwrap_or_default()
}

/// Whether the text of `/proc/PID/status` says that the process ignores a signal.
fn is_ignored(status: &str, kind: SignalKind) -> bool {
    let mask = status
        .lines()
        .find_map(|line| line.strip_prefix("SigIgn:"))
        .and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask >> (kind.as_raw_value() - 1) & 1 == 1)
}

/// Listens from now on and returns the token that the first signal cancels; says so on standard error unless `quiet`.
///
/// # Errors
/// When the listening thread or its signal handlers cannot be made.
pub fn listen(quiet: bool) -> io::Result<CancellationToken> {
    let token = CancellationToken::new();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    // The handlers must be in place before the command begins.
    let signals = {
        let _runtime = runtime.enter();
        Signals::new()?
    };
    let cancel = token.clone();
    std::thread::Builder::new()
        .name("interrupt".into())
        .spawn(move || runtime.block_on(wait(signals, cancel, quiet)))?;
    Ok(token)
}

async fn wait(mut signals: Signals, cancel: CancellationToken, quiet: bool) {
    let mut asked = false;
    loop {
        if signals.next().await == Wish::Unread {
            // A library that writes to a peer that has died raises the same signal: libvirt's client does.
            if is_unread(io::stdout().as_fd()) || is_unread(io::stderr().as_fd()) {
                cancel.cancel();
            }
            continue;
        }
        if asked {
            say(
                "interrupted again: leaving at once; nodes, a fault or a half-done step may be left: `regent status`, `regent up` or `regent down`",
            );
            leave(INTERRUPTED);
        }
        asked = true;
        if !quiet {
            say("interrupted: cleaning up (again to leave at once)");
        }
        cancel.cancel();
    }
}

/// Ends the process, now: no destructor, no handler of any library and no other thread is waited for. What was to be
/// done is done, and whatever hangs in a library has nothing to say any more.
#[expect(
    unsafe_code,
    reason = "the standard library's `exit` runs what libraries have registered, which may hang"
)]
pub fn leave(code: u8) -> ! {
    unsafe extern "C" {
        fn _exit(code: c_int) -> !;
    }
    // Nobody is left to tell when they are closed.
    let _ = io::stdout().flush();
    let _ = io::stderr().flush();
    // SAFETY: _exit(2) has no preconditions.
    unsafe { _exit(code.into()) }
}

fn say(line: &str) {
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_sighup_is_heard_unless_whoever_started_us_ignores_it() {
        let status =
            |mask: &str| format!("Name:\tregent\nSigBlk:\t0\nSigIgn:\t{mask}\nSigCgt:\t0\n");
        let hang_up = SignalKind::hangup();
        assert!(is_ignored(&status("0000000000000001"), hang_up));
        assert!(is_ignored(&status("0000000000001003"), hang_up));
        assert!(!is_ignored(&status("0000000000001000"), hang_up));
        assert!(is_ignored(&status("0000000000001000"), SignalKind::pipe()));
        assert!(!is_ignored("", hang_up));
    }

    #[test]
    fn only_an_output_whose_reader_has_gone_is_unread() {
        let (reader, writer) = io::pipe().unwrap();
        assert!(!is_unread(writer.as_fd()));
        drop(reader);
        assert!(is_unread(writer.as_fd()));
        let file = tempfile::tempfile().unwrap();
        assert!(!is_unread(file.as_fd()));
    }
}
