//! What a node's console said, fit for a reader.

use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};

use camino::Utf8Path;

/// More than this many lines at the end nobody reads.
const LINES: usize = 25;

/// As many bytes as those lines can have, and some.
pub(super) const BYTES: u64 = 16 << 10;

/// Returns the end of a console's log.
pub(super) fn end(log: &Utf8Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(log)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(BYTES)))?;
    let mut bytes = Vec::new();
    file.take(BYTES).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Returns the last lines of what a console said.
pub(super) fn legible(said: &[u8]) -> String {
    let text = plain(&String::from_utf8_lossy(said));
    let lines: Vec<_> = text
        .lines()
        .map(str::trim_end)
        .filter(|line| !line.is_empty())
        .collect();
    lines[lines.len().saturating_sub(LINES)..].join("\n")
}

/// Leaves out what a terminal would take for a command: whoever shows it is not that terminal.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            // ESC [ parameters letter: a colour, a movement. ESC letter: others.
            '\u{1b}' => {
                if rest.next() == Some('[') {
                    rest.by_ref().find(|c| ('@'..='~').contains(c));
                }
            }
            '\n' | '\t' => plain.push(c),
            c if c.is_control() => {}
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_console_is_read_without_its_colours() {
        let directory = tempfile::tempdir().unwrap();
        let log = Utf8Path::from_path(directory.path()).unwrap().join("log");
        let mut text = "x".repeat(20_000);
        for line in 0..40 {
            text.push_str(&format!(
                "[\u{1b}[0;32m  OK  \u{1b}[0m] line {line}\r\n\r\n"
            ));
        }
        text.push_str("\u{1b}cKernel panic \u{1b}[");
        std::fs::write(&log, text).unwrap();
        let tail = legible(&end(&log).unwrap());
        let lines: Vec<_> = tail.lines().collect();
        assert_eq!(lines.len(), LINES);
        assert_eq!(lines[0], "[  OK  ] line 16");
        assert_eq!(lines[LINES - 1], "Kernel panic");
    }
}
