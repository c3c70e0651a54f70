//! Ctrl-C and SIGTERM: the first asks the command to stop and clean up, the second ends the process at once.

use std::io::{self, Write};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// What the process exits with when it was interrupted.
const INTERRUPTED: i32 = 130;

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
    let (interrupt, terminate) = {
        let _runtime = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    let cancel = token.clone();
    std::thread::Builder::new()
        .name("interrupt".into())
        .spawn(move || runtime.block_on(wait_twice(interrupt, terminate, cancel, quiet)))?;
    Ok(token)
}

async fn wait_twice(
    mut interrupt: Signal,
    mut terminate: Signal,
    cancel: CancellationToken,
    quiet: bool,
) {
    for times in 1.. {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if times > 1 {
            say(
                "interrupted again: leaving at once; nodes, a fault or a half-done step may be left: `regent status`, `regent up` or `regent down`",
            );
            #[expect(
                clippy::exit,
                reason = "the second signal means now: whatever hangs is not waited for"
            )]
            std::process::exit(INTERRUPTED);
        }
        if !quiet {
            say("interrupted: cleaning up (again to leave at once)");
        }
        cancel.cancel();
    }
}

fn say(line: &str) {
    // Nobody is left to tell when standard error is closed.
    let _ = writeln!(io::stderr(), "{line}");
}
