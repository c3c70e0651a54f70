//! Files and programs of the host, for nodes.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use camino::{Utf8Path, Utf8PathBuf};

use super::ProviderError;
use crate::name::NodeName;

type Result<T> = std::result::Result<T, ProviderError>;

/// Makes something whole or not at all: `make` makes it under another name beside it, which it changes at the end.
pub(super) fn once(
    node: &NodeName,
    path: &Utf8Path,
    make: impl FnOnce(&Utf8Path) -> Result<()>,
) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    let partial = Utf8PathBuf::from(format!("{path}.partial"));
    gone(node.as_str(), remove_any, &partial)?;
    make(&partial)?;
    fs::rename(&partial, path).map_err(ProviderError::io(node, "renaming", &partial))
}

/// Removes a file, or a directory with all that is in it.
fn remove_any(path: &Utf8Path) -> io::Result<()> {
    match fs::symlink_metadata(path)?.is_dir() {
        true => fs::remove_dir_all(path),
        false => fs::remove_file(path),
    }
}

/// Makes a directory, and those above it, with a mode.
pub(super) fn make_directory(node: &NodeName, directory: &Utf8Path, mode: u32) -> Result<()> {
    fs::create_dir_all(directory)
        .and_then(|()| fs::set_permissions(directory, fs::Permissions::from_mode(mode)))
        .map_err(ProviderError::io(node, "making", directory))
}

/// Removes something; that it is gone already is fine.
pub(super) fn gone(
    subject: &str,
    remove: impl Fn(&Utf8Path) -> io::Result<()>,
    path: &Utf8Path,
) -> Result<()> {
    match remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(ProviderError::io(&subject, "removing", path)(error))
        }
        _ => Ok(()),
    }
}

/// Removes what a libvirt that is not the lab's own keeps of a network that is gone.
pub(super) fn remove_network_traces(network: &str) -> Result<()> {
    let directory = Utf8Path::new("/run/libvirt/network").join(network);
    gone(
        network,
        |path| fs::remove_dir(path),
        &directory.join("ports"),
    )?;
    gone(network, |path| fs::remove_dir(path), &directory)
}

/// Runs a program, which must end well.
pub(super) fn run(node: &NodeName, command: &mut Command) -> Result<()> {
    let program = format!("{command:?}").replace('"', "");
    let failed = |said: String| ProviderError::Program {
        node: node.clone(),
        program: program.clone(),
        said,
    };
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    // The C library's words, which `cp` repeats for every file.
    if said.contains("No space left on device") {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        return Err(ProviderError::io(node, "running", Utf8Path::new(&program))(
            full,
        ));
    }
    Err(failed(match said.is_empty() {
        true => output.status.to_string(),
        false => said,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_cut_short_is_made_again_and_what_is_whole_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(directory.path()).unwrap().join("disk");
        let node: NodeName = "m1".parse().unwrap();
        let make = |text: &'static str| {
            move |partial: &Utf8Path| {
                fs::write(partial, text).map_err(ProviderError::io(&"m1", "writing", partial))
            }
        };
        let cut_short = |partial: &Utf8Path| {
            make("half")(partial)?;
            run(&"m1".parse().unwrap(), &mut Command::new("false"))
        };
        once(&node, &path, cut_short).unwrap_err();
        assert!(!path.exists());
        once(&node, &path, make("whole")).unwrap();
        once(&node, &path, make("another")).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "whole");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
