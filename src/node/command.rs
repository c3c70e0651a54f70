//! One command on a node: quoted, bounded, read to its end.

use std::time::Duration;

use russh::client::Msg;
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig};
use tokio::time::{Instant, timeout, timeout_at};

use super::error::{CommandError, CommandFailure, NodeError, tail};
use super::session::Node;

/// Enough for anything that does not wait for something else.
const DEADLINE: Duration = Duration::from_secs(60);

/// What a command left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Exit status; a death by signal is an error of its own.
    pub status: u32,
    /// Standard output.
    pub stdout: Vec<u8>,
    /// Standard error.
    pub stderr: Vec<u8>,
}

/// A command being prepared; finish with [`Command::run`] (status must be 0) or [`Command::output`].
#[must_use = "a command runs only when `run` or `output` is awaited"]
pub struct Command {
    node: Node,
    /// For messages: one line, cut where it gets long.
    title: String,
    /// What the node's shell gets, without the bound.
    line: String,
    stdin: Input,
    deadline: Duration,
}

/// What a command reads.
enum Input {
    Bytes(Vec<u8>),
    /// However large: it is never in memory whole.
    File(tokio::fs::File),
}

impl std::fmt::Debug for Command {
    // Not the standard input: it may hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Command({} on {:?})", self.title, self.node)
    }
}

impl Command {
    pub(super) fn program<S: AsRef<str>>(node: Node, argv: impl IntoIterator<Item = S>) -> Self {
        let words: Vec<String> = argv.into_iter().map(|word| quote(word.as_ref())).collect();
        let line = words.join(" ");
        Self::new(node, &line.clone(), line, Vec::new())
    }

    pub(super) fn script(node: Node, script: &str) -> Self {
        // A shell runs what it has read so far. In braces it must read to the end first, so a script whose tail
        // got lost does nothing; and a program in it that reads standard input cannot eat the rest of the script.
        let whole = format!("{{ :\n{script}\n}} </dev/null\n");
        Self::new(node, script, "sh -eu".to_owned(), whole.into_bytes())
    }

    pub(super) fn new(node: Node, title: &str, line: String, stdin: Vec<u8>) -> Self {
        Self {
            node,
            title: headline(title),
            line,
            stdin: Input::Bytes(stdin),
            deadline: DEADLINE,
        }
    }

    /// Bounds the command, the connecting before it included; when the time is over the channel is closed, the node
    /// kills the command, and the error says what came until then.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Feeds standard input (for [`Node::command`]; a script's standard input is the script).
    pub fn stdin(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.stdin = Input::Bytes(input.into());
        self
    }

    /// Feeds standard input with the rest of a file.
    pub fn stdin_file(mut self, input: tokio::fs::File) -> Self {
        self.stdin = Input::File(input);
        self
    }

    #[cfg(test)]
    pub(super) fn into_stdin(self) -> Vec<u8> {
        match self.stdin {
            Input::Bytes(bytes) => bytes,
            Input::File(_) => panic!("a file"),
        }
    }

    /// Runs it and returns standard output as text; a status other than 0 is an error that carries the last lines
    /// of both streams.
    pub async fn run(self) -> Result<String, NodeError> {
        let stdout = self.run_bytes().await?;
        Ok(String::from_utf8(stdout)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    /// [`Command::run`] for a command whose output is not text.
    pub async fn run_bytes(self) -> Result<Vec<u8>, NodeError> {
        let node = self.node.clone();
        let title = self.title.clone();
        let output = self.output().await?;
        if output.status == 0 {
            return Ok(output.stdout);
        }
        Err(NodeError::Command(Box::new(CommandError {
            node: node.name().clone(),
            command: title,
            failure: CommandFailure::Status(output.status),
            stdout: tail(&output.stdout),
            stderr: tail(&output.stderr),
        })))
    }

    /// Runs it and returns whatever the status is.
    pub async fn output(self) -> Result<Output, NodeError> {
        let end = Instant::now() + self.deadline;
        let mut got = Received::default();
        let failure = match timeout_at(end, self.node.channel()).await {
            Err(_) => CommandFailure::Deadline(self.deadline),
            Ok(Err(error)) => return Err(error),
            Ok(Ok((channel, _permit))) => {
                let (mut read, write) = channel.split();
                // The node's own clock ends what nobody waits for any more, also when regent or the link died.
                let line = format!(
                    "exec timeout -k 5 {} {}",
                    whole_seconds(self.deadline),
                    self.line
                );
                match timeout_at(end, exchange(&mut read, &write, line, self.stdin, &mut got)).await
                {
                    Ok(None) => match got.ending {
                        Some(Ending::Status(status)) => {
                            return Ok(Output {
                                status,
                                stdout: got.stdout,
                                stderr: got.stderr,
                            });
                        }
                        Some(Ending::Signal(name)) => CommandFailure::Signal(name),
                        None => CommandFailure::LinkLost,
                    },
                    Ok(Some(failure)) => failure,
                    Err(_) => {
                        // Only a message to the session's task, which may itself be stuck on a dead link.
                        let _ = timeout(Duration::from_millis(200), write.close()).await;
                        CommandFailure::Deadline(self.deadline)
                    }
                }
            }
        };
        Err(NodeError::Command(Box::new(CommandError {
            node: self.node.name().clone(),
            command: self.title,
            failure,
            stdout: tail(&got.stdout),
            stderr: tail(&got.stderr),
        })))
    }
}

#[derive(Default)]
struct Received {
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    ending: Option<Ending>,
}

enum Ending {
    Status(u32),
    Signal(String),
}

/// Starts the command, feeds it and reads it until the channel is closed. Not until the end of its output or its
/// status: the two come in either order, and data may follow both.
async fn exchange(
    read: &mut ChannelReadHalf,
    write: &ChannelWriteHalf<Msg>,
    line: String,
    stdin: Input,
    got: &mut Received,
) -> Option<CommandFailure> {
    if write.exec(true, line).await.is_err() {
        return Some(CommandFailure::LinkLost);
    }
    let feed = async {
        // A failure shows in what is read: the command ended without reading, or the link died.
        let fed = match stdin {
            Input::Bytes(bytes) => write.data_bytes(bytes).await,
            Input::File(file) => write.data(file).await,
        };
        if fed.is_ok() {
            let _ = write.eof().await;
        }
    };
    tokio::pin!(feed);
    let mut feeding = true;
    loop {
        let message = tokio::select! {
            () = &mut feed, if feeding => {
                feeding = false;
                continue;
            }
            message = read.wait() => message,
        };
        match message {
            None | Some(ChannelMsg::Close) => return None,
            Some(ChannelMsg::Failure) => return Some(CommandFailure::NotStarted),
            Some(ChannelMsg::Data { data }) => got.stdout.extend_from_slice(&data),
            // 1 is standard error, the only extended stream there is.
            Some(ChannelMsg::ExtendedData { data, ext: 1 }) => got.stderr.extend_from_slice(&data),
            Some(ChannelMsg::ExitStatus { exit_status }) => {
                got.ending = Some(Ending::Status(exit_status));
            }
            Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                got.ending = Some(Ending::Signal(match signal_name {
                    Sig::Custom(name) => name,
                    known => format!("{known:?}"),
                }));
            }
            Some(_) => {}
        }
    }
}

/// The bound on the node: later than ours, so that ours is the one that speaks.
fn whole_seconds(deadline: Duration) -> u64 {
    deadline.as_secs() + 2
}

/// Returns the first line that says something, cut at a length that fits a terminal's line.
fn headline(text: &str) -> String {
    const LENGTH: usize = 100;
    let line = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'))
        .unwrap_or_default();
    if line.chars().count() <= LENGTH {
        return line.to_owned();
    }
    line.chars().take(LENGTH).chain(['…']).collect()
}

/// Quotes a word for a POSIX shell.
pub(super) fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
