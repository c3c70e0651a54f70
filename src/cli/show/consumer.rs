//! The thread that shows events, so that whoever emits one never waits for a terminal or a disk.

use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use jiff::Timestamp;
use serde::Serialize;

use super::bars::Bars;
use super::line::line;
use super::record::Record;
use crate::event::{Event, Events};

/// How events look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Face {
    /// Bars on standard error, which is a terminal.
    Bars,
    /// One line an event on standard error.
    Plain,
    /// One JSON object an event on standard output.
    Json,
}

impl Face {
    /// The face for this process.
    pub fn choose(json: bool) -> Self {
        match (json, io::stderr().is_terminal()) {
            (true, _) => Self::Json,
            (false, true) => Self::Bars,
            (false, false) => Self::Plain,
        }
    }
}

/// An event with the moment when it was emitted, as it stands in JSON.
#[derive(Debug, Serialize)]
pub(super) struct Stamped {
    /// Wall clock.
    pub(super) at: Timestamp,
    /// Since the command began; monotonic.
    #[serde(skip)]
    pub(super) since: Duration,
    #[serde(flatten)]
    pub(super) event: Event,
}

enum Message {
    Event(Stamped),
    Record(Utf8PathBuf),
    /// Answered when everything sent before is shown.
    Flush(Sender<()>),
}

/// Shows events until the process ends.
pub struct Show {
    messages: Sender<Message>,
    begin: Instant,
}

impl fmt::Debug for Show {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Show")
    }
}

impl Show {
    /// Starts the thread that shows.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(face: Face) -> io::Result<Self> {
        let (messages, receiver) = mpsc::channel();
        std::thread::Builder::new()
            .name("show".into())
            .spawn(move || consume(face, &receiver))?;
        Ok(Self {
            messages,
            begin: Instant::now(),
        })
    }

    /// Where the library's events go.
    pub fn events(&self) -> Events {
        let (messages, begin) = (self.messages.clone(), self.begin);
        Events::new(move |event| {
            // The receiver lives as long as the process.
            let _ = messages.send(Message::Event(Stamped {
                at: Timestamp::now(),
                since: begin.elapsed(),
                event,
            }));
        })
    }

    /// From now on also appends every event to the file at `path`, the ones before included, as soon as its
    /// directory exists.
    pub fn record(&self, path: &Utf8Path) {
        let _ = self.messages.send(Message::Record(path.to_owned()));
    }

    /// Returns when everything emitted so far is shown, and no bar is in the way of other output.
    pub fn flush(&self) {
        let (done, wait) = mpsc::channel();
        if self.messages.send(Message::Flush(done)).is_ok() {
            let _ = wait.recv();
        }
    }
}

fn consume(face: Face, messages: &Receiver<Message>) {
    let mut bars = (face == Face::Bars).then(Bars::new);
    let mut record = Record::default();
    for message in messages {
        match message {
            Message::Event(stamped) => {
                match (&mut bars, face) {
                    (Some(bars), _) => bars.show(&stamped),
                    (None, Face::Json) => write_json(&stamped),
                    (None, _) => write_plain(&stamped),
                }
                record.append(&stamped);
            }
            Message::Record(path) => record.begin(path),
            Message::Flush(done) => {
                if let Some(bars) = &mut bars {
                    bars.clear();
                }
                let _ = done.send(());
            }
        }
    }
}

/// What cannot be shown is dropped: showing must never break the work.
fn write_json(stamped: &Stamped) {
    if let Ok(json) = serde_json::to_string(stamped) {
        let _ = writeln!(io::stdout(), "{json}");
    }
}

fn write_plain(stamped: &Stamped) {
    if let Some(line) = line(&stamped.event) {
        let _ = writeln!(
            io::stderr(),
            "{:>7.1}s  {line}",
            stamped.since.as_secs_f64()
        );
    }
}
