//! The lab's record: every event of every command on it, one JSON object a line.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use camino::Utf8PathBuf;

use super::consumer::Stamped;

/// How many events are kept until the lab's directory exists; a first `up` emits some hundred.
const PENDING: usize = 10_000;

/// Appends to the record. Nothing that goes wrong here may break a run, so it is silent.
#[derive(Debug, Default)]
pub(super) struct Record {
    path: Option<Utf8PathBuf>,
    file: Option<File>,
    pending: Vec<u8>,
    lines: usize,
}

impl Record {
    pub(super) fn begin(&mut self, path: Utf8PathBuf) {
        self.path = Some(path);
    }

    pub(super) fn append(&mut self, stamped: &Stamped) {
        if self.lines < PENDING && serde_json::to_writer(&mut self.pending, stamped).is_ok() {
            self.pending.push(b'\n');
            self.lines += 1;
        }
        if self.file.is_none()
            && let Some(path) = &self.path
        {
            // The directory is the lab's; a record alone must not bring it into being.
            self.file = OpenOptions::new()
                .append(true)
                .create(true)
                .mode(0o600)
                .open(path)
                .ok();
        }
        if let Some(file) = &mut self.file {
            let _ = file.write_all(&self.pending);
            self.pending.clear();
            self.lines = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;

    fn note(text: &str) -> Stamped {
        Stamped {
            at: jiff::Timestamp::UNIX_EPOCH,
            since: std::time::Duration::ZERO,
            event: Event::Note { text: text.into() },
        }
    }

    #[test]
    fn events_wait_for_the_directory_and_come_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let lab = Utf8PathBuf::try_from(dir.path().join("lab")).unwrap();
        let path = lab.join("events.jsonl");
        let mut record = Record::default();
        record.append(&note("one"));
        record.begin(path.clone());
        record.append(&note("two"));
        assert!(!lab.exists(), "a record must not make the lab's directory");
        std::fs::create_dir(&lab).unwrap();
        record.append(&note("three"));
        let text = std::fs::read_to_string(path).unwrap();
        let notes: Vec<_> = text.lines().collect();
        assert_eq!(notes.len(), 3);
        assert_eq!(
            notes[0],
            r#"{"at":"1970-01-01T00:00:00Z","event":"note","text":"one"}"#
        );
    }
}
