//! What of the caller's environment must not leak into a lab: the umask, and proxies.

use std::sync::OnceLock;

use rustix::fs::Mode;
use rustix::process::umask;

/// What regent makes is made with this; what is secret has its mode from the first moment on.
const UMASK: Mode = Mode::from_raw_mode(0o022);

/// The caller's umask.
static CALLER: OnceLock<Mode> = OnceLock::new();

/// The variables by which programs are told of a proxy.
const PROXIES: [&str; 8] = [
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
];

/// Gives this process and all that it starts a umask that nodes can live with, whatever the caller's is: under 077 no
/// service of a node could read the files that it is given.
pub fn set_umask() {
    CALLER.get_or_init(|| umask(UMASK));
}

/// Gives this process the caller's umask back, for a program of the caller's that takes its place.
pub(crate) fn restore_umask() {
    if let Some(callers) = CALLER.get() {
        umask(*callers);
    }
}

/// The variables by which programs are told of a proxy. Proxies are for downloads, never for a lab.
pub(crate) fn proxies() -> impl Iterator<Item = &'static str> {
    PROXIES.into_iter()
}
