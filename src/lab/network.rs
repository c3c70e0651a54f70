//! The network namespaces that threads stand in.

use std::fs::File;
use std::io;
use std::os::fd::AsFd as _;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::process::ProcessId;

/// Returns the network namespace of a process. It lives at least as long as the file is open.
pub(super) fn of(process: ProcessId) -> io::Result<File> {
    File::open(format!("/proc/{}/ns/net", process.pid))
}

/// Puts the calling thread into a network namespace.
pub(super) fn enter(namespace: &File) -> io::Result<()> {
    Ok(move_into_link_name_space(
        namespace.as_fd(),
        Some(LinkNameSpaceType::Network),
    )?)
}

/// Puts the calling thread back into the network namespace of the process's first thread.
pub(crate) fn leave() -> io::Result<()> {
    enter(&File::open("/proc/self/ns/net")?)
}
