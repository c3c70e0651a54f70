//! Taking a lab down, whatever state it is in.

use std::fs;
use std::io;

use super::host::Host;
use super::instance::{lock, private_directory};
use super::place::log_in;
use super::record::{Connection, Record};
use super::{LabError, LabPaths, cgroup, holder, mounts};
use crate::event::Events;
use crate::name::LabId;
use crate::provider;

/// Removes everything of the lab. Each part is found by its name or mark, so that it does not matter how the lab
/// came to where it is; the lab's directory goes last but one, and its registration last, so that an interrupted
/// `down` is seen and can be repeated.
pub(super) fn down(paths: &LabPaths, events: &Events) -> Result<(), LabError> {
    let labs = paths.root().parent().unwrap_or(paths.root());
    private_directory(labs)?;
    let lock = lock(paths)?;
    let failed = |doing| LabError::io(doing, paths.root());

    let host = Host::new();
    if let Some((id, connection)) = known(paths, &host, events)
        && let Some(uri) = &connection.uri
    {
        let remote = log_in(paths, Some(uri), &[], events)?;
        let place = connection.place(paths, &id, remote);
        provider::sweep(&place, connection.driver).map_err(|source| LabError::Libvirt {
            uri: uri.clone(),
            source: Box::new(source),
        })?;
    }
    holder::end(paths)?;
    let ours = host.is_ours(paths).unwrap_or_else(|error| {
        events.warn(format!(
            "{error}; so nothing was ended by the cluster's name alone"
        ));
        false
    });
    if ours {
        let directories =
            cgroup::of_cluster(paths.cluster()).map_err(failed("finding the cgroups of"))?;
        // Whatever was the lab's has ended by now: with the namespaces of its holder, or domain by domain, each known by
        // the lab's identifier. What lives has such a name by chance.
        let (living, dead): (Vec<_>, Vec<_>) =
            directories.into_iter().partition(cgroup::is_populated);
        for directory in living {
            events.warn(format!(
                "{directory} has living processes that do not carry this lab's identifier; they are left alone"
            ));
        }
        cgroup::remove(&dead).map_err(failed("removing the cgroups of"))?;
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

/// What is known of the lab: its own record's word, else the machine's. Says what cannot be looked at without it.
fn known(paths: &LabPaths, host: &Host, events: &Events) -> Option<(LabId, Connection)> {
    let unread = match Record::read(paths) {
        Ok(Some(record)) => return Some((record.id, record.connection)),
        Ok(None) if !paths.root().exists() => return None,
        Ok(None) => format!("{} is missing", paths.record()),
        Err(error) => error.to_string(),
    };
    match host.registered(paths) {
        Ok(Some(known)) => {
            events.warn(format!(
                "{unread}; what the machine remembers of the lab is used instead"
            ));
            Some(known)
        }
        Ok(None) | Err(_) => {
            events.warn(format!(
                "{unread}; its processes, mounts and files on this machine are removed, but if its nodes were in \
                 another libvirt than the lab's own, they are still there: `virsh -c URI list --all` shows them"
            ));
            None
        }
    }
}
