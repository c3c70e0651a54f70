//! Archives that the kernel unpacks as its first file system: cpio in the `newc` format
//! (`Documentation/driver-api/early-userspace/buffer-format.rst`).

use std::io::{self, Write};

/// An archive that is being written. Entries belong to root, have no time, and stand in the order in which they are
/// added: equal calls give equal bytes.
#[derive(Debug)]
pub(super) struct Archive<W> {
    writer: W,
    entries: u32,
}

/// What `mode` says about an entry's type, as in `stat(2)`.
const DIRECTORY: u32 = 0o040_000;
const FILE: u32 = 0o100_000;

/// The name of the entry that ends an archive.
const TRAILER: &str = "TRAILER!!!";

/// A header, a name and a content each fill a multiple of this.
const ALIGNMENT: usize = 4;

impl<W: Write> Archive<W> {
    /// Begins an archive.
    pub(super) fn new(writer: W) -> Self {
        Self { writer, entries: 0 }
    }

    /// Appends a directory, mode 0755; its parent must be there already.
    pub(super) fn directory(&mut self, path: &str) -> io::Result<()> {
        self.entry(path, DIRECTORY | 0o755, &[])
    }

    /// Appends a file; its directory must be there already.
    pub(super) fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        self.entry(path, FILE | mode, content)
    }

    /// Ends the archive.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.entry(TRAILER, 0, &[])?;
        self.writer.flush()
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        let number = |length: usize| u32::try_from(length).map_err(io::Error::other);
        // Inode numbers that differ: the kernel would take equal ones for hard links.
        self.entries += 1;
        let links = if mode & DIRECTORY == DIRECTORY { 2 } else { 1 };
        let (owner, group, time, device, check) = (0, 0, 0, 0, 0);
        let fields = [
            self.entries,
            mode,
            owner,
            group,
            links,
            time,
            number(content.len())?,
            device,
            device,
            device,
            device,
            number(path.len() + 1)?,
            check,
        ];
        let mut header = String::from("070701");
        for field in fields {
            header.push_str(&format!("{field:08x}"));
        }
        header.push_str(path);
        header.push('\0');
        self.padded(header.as_bytes())?;
        self.padded(content)
    }

    fn padded(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes)?;
        let rest = bytes.len().next_multiple_of(ALIGNMENT) - bytes.len();
        self.writer.write_all(&[0; ALIGNMENT][..rest])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut archive = Archive::new(&mut bytes);
        archive.directory("bin").unwrap();
        archive.file("bin/sh", 0o755, b"#!").unwrap();
        archive.finish().unwrap();
        bytes
    }

    #[test]
    fn an_archive_is_what_the_kernel_expects() {
        let zeros = |n: usize| "0".repeat(8 * n);
        // Number, mode, owner and group, links, time, size, four device numbers, length of the name, check.
        let directory = format!(
            "070701{}{}{}{}{}{}{}{}bin\0",
            "00000001",
            "000041ed",
            zeros(2),
            "00000002",
            zeros(2),
            zeros(4),
            "00000004",
            zeros(1)
        );
        let file = format!(
            "070701{}{}{}{}{}{}{}{}{}bin/sh\0\0\0\0#!\0\0",
            "00000002",
            "000081ed",
            zeros(2),
            "00000001",
            zeros(1),
            "00000002",
            zeros(4),
            "00000007",
            zeros(1)
        );
        let trailer = format!(
            "070701{}{}{}{}{}{}TRAILER!!!\0\0\0\0",
            "00000003",
            zeros(3),
            "00000001",
            zeros(6),
            "0000000b",
            zeros(1)
        );
        // A directory's header and name fill 114 bytes, and two more for the alignment.
        let expected = format!("{directory}\0\0{file}{trailer}");
        assert_eq!(String::from_utf8(sample()).unwrap(), expected);
        assert_eq!(sample().len() % ALIGNMENT, 0);
    }
}
