//! Files that only root may read, whole or absent.

use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;

use camino::Utf8Path;

/// Writes a file with mode 0600: to a temporary name beside it, synced, then renamed over it.
pub fn write_private(path: &Utf8Path, content: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Utf8Path::new("."));
    let mut file = tempfile::Builder::new()
        .prefix(".regent-")
        .permissions(std::fs::Permissions::from_mode(0o600))
        .tempfile_in(directory)?;
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}
