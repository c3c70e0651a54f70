//! A user's command as the thing that happens to a cluster.

use std::convert::Infallible;
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::scenario::{Fault, Scenario};
use crate::event::Events;

/// How long a command that is asked to end has, before it is killed.
const WIND_UP: Duration = Duration::from_secs(15);

/// How long the last words of a command that has ended may be on their way, where what it leaves running keeps its output open.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// A command that will be run as the user's shell would run it: in the directory, the environment and the network of the
/// process that prepared it, whatever network its threads have entered since.
#[derive(Debug)]
pub struct Operation {
    command: String,
    limit: Duration,
    go: Mutex<Option<mpsc::Sender<Order>>>,
}

/// What the thread that runs it is told.
struct Order {
    events: Events,
    begun: oneshot::Sender<io::Result<u32>>,
    ended: oneshot::Sender<io::Result<(ExitStatus, String)>>,
}

/// How a command ended, as it stands in the evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub struct OperationRecord {
    /// The command.
    pub command: String,
    /// Its exit status; 128 and the signal's number for one that died of a signal, none for one that was not run to its end.
    pub status: Option<i32>,
    /// The last line that it wrote.
    pub last_line: String,
}

/// A command that ended.
pub(super) struct Ended {
    /// Just before it began.
    pub(super) begun: Instant,
    pub(super) record: OperationRecord,
    /// Why it was not run to its end by itself.
    pub(super) trouble: Option<String>,
}

impl Operation {
    /// Prepares a command, which may take so long. Call it before this process's threads enter a lab's network.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn prepare(command: &str, limit: Duration) -> io::Result<Self> {
        let (go, told) = mpsc::channel::<Order>();
        let line = command.to_owned();
        thread::Builder::new()
            .name("operation".into())
            .spawn(move || {
                if let Ok(order) = told.recv() {
                    perform(&line, order);
                }
            })?;
        Ok(Self {
            command: command.to_owned(),
            limit,
            go: Mutex::new(Some(go)),
        })
    }

    /// It as what happens to a cluster: it lasts as long as it may take.
    pub fn scenario(&self) -> Scenario {
        Scenario {
            hold: self.limit,
            ..Scenario::new(Fault::Command(self.command.clone()))
        }
    }

    /// Runs it to its end, once. One that takes too long, or is interrupted, is asked to end, and killed if it does not.
    pub(super) async fn run(
        &self,
        events: Events,
        interrupt: &CancellationToken,
    ) -> io::Result<Ended> {
        let go = self
            .go
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let gone = || io::Error::other("it was run already");
        let ((begun, is_begun), (ended, has_ended)) = (oneshot::channel(), oneshot::channel());
        let order = Order {
            events,
            begun,
            ended,
        };
        let start = Instant::now();
        go.and_then(|go| go.send(order).ok()).ok_or_else(gone)?;
        let group = is_begun.await.map_err(io::Error::other)??;
        let mut has_ended = std::pin::pin!(has_ended);
        let mut trouble = tokio::select! {
            ended = &mut has_ended => return Ok(self.ended(start, ended.map_err(io::Error::other)??, None)),
            () = tokio::time::sleep(self.limit) => format!("it had not ended after {} s", self.limit.as_secs()),
            () = interrupt.cancelled() => "it was interrupted".to_owned(),
        };
        signal(group, Signal::TERM);
        let wound_up = tokio::time::timeout(WIND_UP, &mut has_ended).await;
        let ended = match wound_up {
            Ok(ended) => ended,
            Err(_) => {
                trouble.push_str(", and was killed");
                signal(group, Signal::KILL);
                has_ended.await
            }
        };
        Ok(self.ended(start, ended.map_err(io::Error::other)??, Some(trouble)))
    }

    fn ended(
        &self,
        begun: Instant,
        (status, last_line): (ExitStatus, String),
        trouble: Option<String>,
    ) -> Ended {
        let code = status.code().or_else(|| Some(128 + status.signal()?));
        let record = OperationRecord {
            command: self.command.clone(),
            status: code.filter(|_| trouble.is_none()),
            last_line,
        };
        Ended {
            begun,
            record,
            trouble,
        }
    }
}

impl OperationRecord {
    /// What was wrong with it, if anything.
    pub(super) fn failure(&self) -> Option<String> {
        let said = match self.last_line.is_empty() {
            true => String::new(),
            false => format!(": {}", self.last_line),
        };
        match self.status {
            Some(0) => None,
            Some(status) => Some(format!("`{}` ended with {status}{said}", self.command)),
            None => Some(format!("`{}` did not come to its end{said}", self.command)),
        }
    }
}

/// In a group of its own, so that all of it can be ended, and nothing of it gets the terminal's signals.
fn perform(line: &str, order: Order) {
    let Order {
        events,
        begun,
        ended,
    } = order;
    let started = start(line);
    let (mut child, output) = match started {
        Ok(started) => started,
        Err(error) => return drop(begun.send(Err(error))),
    };
    let _ = begun.send(Ok(child.id()));
    let last_line = Arc::new(Mutex::new(String::new()));
    let (open, closed) = mpsc::channel::<Infallible>();
    let last = Arc::clone(&last_line);
    // What it leaves running may hold its output open for ever, and go on writing.
    let _ = thread::Builder::new()
        .name("operation output".into())
        .spawn(move || {
            let _open = open;
            for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
                let line = String::from_utf8_lossy(&line);
                let line = line.trim_end();
                if !line.is_empty() {
                    events.note(line);
                    line.clone_into(&mut last.lock().unwrap_or_else(PoisonError::into_inner));
                }
            }
        });
    let status = child.wait();
    let _ = closed.recv_timeout(LAST_WORDS);
    let last_line = last_line
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    let _ = ended.send(status.map(|status| (status, last_line)));
}

fn start(line: &str) -> io::Result<(std::process::Child, io::PipeReader)> {
    let (reader, writer) = io::pipe()?;
    let child = Command::new("sh")
        .args(["-c", line])
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn()?;
    Ok((child, reader))
}

fn signal(group: u32, signal: Signal) {
    let group = i32::try_from(group).ok().and_then(Pid::from_raw);
    // One that has ended meanwhile is what was wanted.
    let _ = group.map(|group| kill_process_group(group, signal));
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn ended(command: &str, limit: Duration, interrupt: &CancellationToken) -> Ended {
        let operation = Operation::prepare(command, limit).unwrap();
        operation.run(Events::none(), interrupt).await.unwrap()
    }

    #[tokio::test]
    async fn a_command_ends_by_itself_or_is_ended() {
        let (long, never) = (Duration::from_secs(60), CancellationToken::new());
        let told = ended("echo one; echo two >&2; exit 3", long, &never).await;
        assert_eq!(
            told.record.failure().unwrap(),
            "`echo one; echo two >&2; exit 3` ended with 3: two"
        );
        assert_eq!(ended("true", long, &never).await.record.failure(), None);
        assert_eq!(
            ended("kill -KILL $$", long, &never).await.record.status,
            Some(137)
        );
        // What it leaves behind keeps nobody waiting.
        let left = ended("sleep 60 & echo done", long, &never).await;
        assert_eq!(
            (left.record.status, left.record.last_line.as_str()),
            (Some(0), "done")
        );
        let begun = Instant::now();
        let talks = "for n in $(seq 200); do echo more; sleep 0.1; done & exit 4";
        assert_eq!(ended(talks, long, &never).await.record.status, Some(4));
        assert!(begun.elapsed() < Duration::from_secs(10));
        // Not everything that is written is text.
        let bytes = ended("printf '\\377\\n'; sleep 0.2; echo after", long, &never).await;
        assert_eq!(
            (bytes.record.status, bytes.record.last_line.as_str()),
            (Some(0), "after")
        );

        let late = ended("sleep 60", Duration::from_millis(50), &never).await;
        assert_eq!(late.trouble.as_deref(), Some("it had not ended after 0 s"));
        assert_eq!(late.record.status, None);
        let interrupt = CancellationToken::new();
        interrupt.cancel();
        let ended = ended("sleep 60", long, &interrupt).await;
        assert_eq!(ended.trouble.as_deref(), Some("it was interrupted"));
    }

    #[tokio::test]
    async fn a_command_is_run_once() {
        let operation = Operation::prepare("true", Duration::from_secs(60)).unwrap();
        let never = CancellationToken::new();
        operation.run(Events::none(), &never).await.unwrap();
        assert!(operation.run(Events::none(), &never).await.is_err());
    }
}
