//! Trees that share their files.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;

use crate::store::{FileError, at};

/// Makes a copy of a tree: directories are new, everything else is a hard link. `to` must not exist, and must be on
/// the same file system. Whoever changes a file in either tree must replace it, never write into it.
///
/// # Errors
/// When something cannot be made.
pub fn link_tree(from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<(), FileError> {
    let (from, to) = (from.as_ref(), to.as_ref());
    let metadata = fs::symlink_metadata(from).map_err(at(from))?;
    if !metadata.is_dir() {
        return fs::hard_link(from, to).map_err(at(to));
    }
    make_directory(to, &metadata).map_err(at(to))?;
    for entry in fs::read_dir(from).map_err(at(from))? {
        let name = entry.map_err(at(from))?.file_name();
        link_tree(from.join(&name), to.join(&name))?;
    }
    Ok(())
}

fn make_directory(path: &Path, like: &Metadata) -> io::Result<()> {
    fs::create_dir(path)?;
    if (like.uid(), like.gid()) != owner(path)? {
        chown(path, Some(like.uid()), Some(like.gid()))?;
    }
    fs::set_permissions(path, PermissionsExt::from_mode(like.mode() & 0o7777))
}

fn owner(path: &Path) -> io::Result<(u32, u32)> {
    fs::symlink_metadata(path).map(|metadata| (metadata.uid(), metadata.gid()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_linked_tree_is_equal_and_shares_its_files() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("from"), directory.path().join("to"));
        fs::create_dir_all(from.join("a/b")).unwrap();
        fs::set_permissions(from.join("a"), PermissionsExt::from_mode(0o1750)).unwrap();
        fs::write(from.join("a/b/file"), "x").unwrap();
        std::os::unix::fs::symlink("nowhere", from.join("a/link")).unwrap();
        link_tree(&from, &to).unwrap();
        assert_eq!(
            crate::store::Tree::read(&from).unwrap(),
            crate::store::Tree::read(&to).unwrap()
        );
        let inode = |path: &Path| fs::symlink_metadata(path).unwrap().ino();
        assert_eq!(inode(&from.join("a/b/file")), inode(&to.join("a/b/file")));
        assert_ne!(inode(&from.join("a/b")), inode(&to.join("a/b")));
    }
}
