//! Taking a lab down, whatever state it is in.

use std::fs;
use std::io;

use super::host::{self, Host};
use super::instance::{Record, lock, log_in, private_directory};
use super::{LabError, LabPaths, cgroup, holder, mounts};
use crate::event::Events;
use crate::hypervisor;

/// Removes everything of the lab. Each part is found by its name or mark, so that it does not matter how the lab
/// came to where it is; the lab's directory goes last but one, and its registration last, so that an interrupted
/// `down` is seen and can be repeated.
pub(super) fn down(paths: &LabPaths, events: &Events) -> Result<(), LabError> {
    let labs = paths.root().parent().unwrap_or(paths.root());
    private_directory(labs)?;
    let lock = lock(paths)?;
    let failed = |doing| LabError::io(doing, paths.root());

    let record = host::read::<Record>(&paths.record())?;
    if let Some(record) = record
        && let Some(uri) = &record.uri
    {
        let remote = log_in(paths, Some(uri), &[], events)?;
        let place = record.place(paths, remote);
        hypervisor::sweep(&place, record.driver).map_err(|source| LabError::Libvirt {
            uri: uri.clone(),
            source: Box::new(source),
        })?;
    }
    holder::end(paths)?;
    let host = Host::new();
    if host.is_ours(paths)? {
        let directories =
            cgroup::of_cluster(paths.cluster()).map_err(failed("finding the cgroups of"))?;
        cgroup::kill(&directories).map_err(failed("ending the processes of"))?;
        cgroup::remove(&directories).map_err(failed("removing the cgroups of"))?;
    }
    mounts::unmount_below(paths.root()).map_err(failed("unmounting"))?;
    match fs::remove_dir_all(paths.root()) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(failed("removing")(error));
        }
        _ => {}
    }
    host.unregister(paths, events)?;
    lock.remove().map_err(failed("removing the lock of"))?;
    // Refused, as it should be, while another lab is in it.
    let _ = fs::remove_dir(labs);
    Ok(())
}
