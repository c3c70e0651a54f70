//! The one `ssh` of a process that works on another host: it carries the connections to libvirt and to the nodes, and a
//! shell there.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;

use super::RemoteError;
use super::shell::{Shell, lost};
use crate::lab::process::ProcessId;
use crate::spec::RemoteUri;

/// How `ssh` is told to be: nothing is asked, nobody else's connection is shared or waited for, a silent host is noticed
/// after 15 s, and every refused forwarding is not a line of its log. Whether a host's key is the right one is the
/// business of the user's configuration, as is all else.
const OPTIONS: [&str; 8] = [
    "BatchMode=yes",
    "ConnectTimeout=10",
    "ControlMaster=no",
    "ControlPath=none",
    "LogLevel=ERROR",
    "ServerAliveCountMax=3",
    "ServerAliveInterval=5",
    // A socket that an earlier `ssh` of this process made is in the way of the next.
    "StreamLocalBindUnlink=yes",
];

/// `ConnectTimeout` bounds the first packets only; then come the handshake, the login and a shell.
const LOGIN: Duration = Duration::from_secs(30);

/// A script there takes some ms, or waits some seconds for a process to die. SSH notices a silent host before that.
const ANSWER: Duration = Duration::from_secs(25);

/// How soon after its end `ssh` is missed where nobody asks anything of the shell.
const LOOK: Duration = Duration::from_millis(200);

/// The wait between two logins after the first that failed; twice as long each time, up to the second.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// A shell on another host that is opened again when it dies. Ended when it is dropped, or its process dies.
pub(super) struct Ssh {
    /// None only in `drop`.
    asks: Option<Sender<Ask>>,
    alive: Arc<Mutex<Option<ProcessId>>>,
    thread: Option<JoinHandle<()>>,
    host: String,
}

/// A script to run there.
struct Ask {
    script: String,
    doing: &'static str,
    answer: Sender<Result<String, RemoteError>>,
}

/// What an `ssh` is started with.
pub(super) struct Order {
    /// Where to.
    pub(super) uri: RemoteUri,
    /// What is connected to there, an address with its port or a socket, and the Unix sockets here that lead to it.
    pub(super) forwards: Vec<(String, Utf8PathBuf)>,
    /// Where `ssh` may complain.
    pub(super) log: Utf8PathBuf,
}

impl Ssh {
    /// Logs in, on the calling thread's network.
    pub(super) fn start(order: Order) -> Result<Self, RemoteError> {
        let (asks, asked) = mpsc::channel();
        let (ready, begun) = mpsc::channel();
        let alive = Arc::new(Mutex::new(None));
        let host = order.uri.host().to_owned();
        let mut worker = Worker {
            order,
            alive: Arc::clone(&alive),
        };
        // `ssh` is told to die with the thread that started it, so all are started by one that lives as long as this.
        let thread = std::thread::Builder::new()
            .name("regent-ssh".to_owned())
            .spawn(move || match worker.log_in() {
                Ok(shell) => {
                    let _ = ready.send(Ok(()));
                    worker.serve(shell, &asked);
                }
                Err(error) => drop(ready.send(Err(error))),
            })
            .map_err(RemoteError::relay("starting a thread for SSH"))?;
        let ssh = Self {
            asks: Some(asks),
            alive,
            thread: Some(thread),
            host,
        };
        match begun.recv() {
            Ok(begun) => begun.map(|()| ssh),
            Err(_) => Err(ssh.ended()),
        }
    }

    /// Runs a script there with `sh`, and returns what it said. Nothing secret may stand in it.
    pub(super) fn run(&self, doing: &'static str, script: &str) -> Result<String, RemoteError> {
        let (answer, answered) = mpsc::channel();
        let ask = Ask {
            script: script.to_owned(),
            doing,
            answer,
        };
        let asks = self.asks.as_ref().ok_or_else(|| self.ended())?;
        asks.send(ask).map_err(|_| self.ended())?;
        answered.recv().unwrap_or_else(|_| Err(self.ended()))
    }

    fn ended(&self) -> RemoteError {
        RemoteError::Lost {
            host: self.host.clone(),
            said: "regent's own thread ended".to_owned(),
        }
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        self.asks = None;
        // Whatever it is doing, it need not be waited for.
        let alive = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(process) = *alive {
            let _ = process.kill();
        }
        drop(alive);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The thread that starts `ssh` and speaks with the shell.
struct Worker {
    order: Order,
    alive: Arc<Mutex<Option<ProcessId>>>,
}

impl Worker {
    /// Runs what is asked for, and logs in again when `ssh` has died, until nobody can ask any more.
    fn serve(&mut self, shell: Shell, asked: &Receiver<Ask>) {
        let mut shell = Some(shell);
        let (mut wait, mut tried) = (RETRY.0, Instant::now());
        loop {
            let ask = match asked.recv_timeout(LOOK) {
                Ok(ask) => Some(ask),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if shell.as_mut().is_some_and(|shell| !shell.is_alive()) {
                shell = None;
            }
            let mut trouble = None;
            if shell.is_none() && tried.elapsed() >= wait {
                match self.log_in() {
                    Ok(again) => (shell, wait) = (Some(again), RETRY.0),
                    Err(error) => {
                        wait = (wait * 2).min(RETRY.1);
                        trouble = Some(error);
                    }
                }
                tried = Instant::now();
            }
            let Some(ask) = ask else { continue };
            let answer = match &mut shell {
                Some(shell) => shell.ask(&ask.script, ANSWER),
                None => Err(trouble.unwrap_or_else(|| self.lost())),
            };
            let answer = match answer {
                Ok((0, said)) => Ok(said),
                Ok((_, said)) => Err(RemoteError::Refused {
                    host: self.order.uri.host().to_owned(),
                    doing: ask.doing,
                    said: said.trim().to_owned(),
                }),
                Err(error) => {
                    // What it says next would be the answer to an earlier question.
                    shell = None;
                    Err(error)
                }
            };
            let _ = ask.answer.send(answer);
        }
    }

    /// Starts `ssh` and waits until its shell answers: by then it listens on every socket.
    fn log_in(&mut self) -> Result<Shell, RemoteError> {
        let uri = &self.order.uri;
        let log = File::create(&self.order.log).map_err(RemoteError::relay("making SSH's log"))?;
        let child = command(&self.order)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .map_err(|source| RemoteError::Program {
                program: "setpriv".to_owned(),
                source,
            })?;
        *self.alive.lock().unwrap_or_else(PoisonError::into_inner) = ProcessId::of(child.id());
        let shell = Shell::of(child, uri.host(), &self.order.log);
        let mut shell = shell.ok_or_else(|| self.lost())?;
        // What a login says of itself comes before the first answer.
        match shell.ask("exec true", LOGIN) {
            Ok(_) => Ok(shell),
            Err(RemoteError::Lost { host, said }) => Err(RemoteError::Login {
                host,
                said,
                attempt: attempt(uri),
            }),
            Err(other) => Err(other),
        }
    }

    fn lost(&self) -> RemoteError {
        lost(self.order.uri.host(), &self.order.log)
    }
}

/// The command that logs in and begins a shell.
fn command(order: &Order) -> Command {
    // Killed with us, also where we are killed: `ssh` alone would wait for connections that nobody uses any more.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]);
    // Ctrl-C is for regent, which may have something to put right there before it ends.
    command.process_group(0);
    command
        .arg(program(&order.uri))
        .args(["-T", "-a", "-x", "-e", "none"]);
    for option in OPTIONS {
        command.args(["-o", option]);
    }
    command.args(whereto(&order.uri));
    for (to, socket) in &order.forwards {
        command.arg("-L").arg(format!("{socket}:{to}"));
    }
    command.args(["--", order.uri.host(), "exec sh"]);
    command
}

fn program(uri: &RemoteUri) -> &str {
    uri.command().map_or("ssh", |command| command.as_str())
}

fn whereto(uri: &RemoteUri) -> Vec<String> {
    let mut words = Vec::new();
    let mut option = |letter: &str, value: Option<String>| {
        if let Some(value) = value {
            words.extend([letter.to_owned(), value]);
        }
    };
    option("-p", uri.port().map(|port| port.to_string()));
    option("-l", uri.user().map(str::to_owned));
    option("-i", uri.keyfile().map(|file| file.to_string()));
    words
}

/// What must work by hand, without a question.
fn attempt(uri: &RemoteUri) -> String {
    let mut words = vec![program(uri).to_owned(), "-o".into(), "BatchMode=yes".into()];
    words.extend(whereto(uri));
    words.extend([uri.host().to_owned(), "true".to_owned()]);
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use camino::Utf8Path;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    /// In place of `ssh`: the shell is this machine's.
    fn order(directory: &Utf8Path, script: &str) -> Order {
        let program = directory.join("ssh");
        fs::write(&program, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        Order {
            uri: format!("qemu+ssh://root@host:2222/system?command={program}&keyfile=/key")
                .parse()
                .unwrap(),
            forwards: vec![("198.18.0.21:22".to_owned(), "/run/a".into())],
            log: directory.join("log"),
        }
    }

    #[test]
    fn ssh_is_told_all_that_the_uri_says() {
        let directory = tempfile::tempdir().unwrap();
        let directory = Utf8Path::from_path(directory.path()).unwrap();
        let script = format!("echo \"$@\" >{directory}/arguments; echo Welcome; exec sh");
        let ssh = Ssh::start(order(directory, &script)).unwrap();
        assert_eq!(ssh.run("asking", "echo a; echo b >&2").unwrap(), "a\nb\n");
        let arguments = fs::read_to_string(directory.join("arguments")).unwrap();
        let end = "-p 2222 -l root -i /key -L /run/a:198.18.0.21:22 -- host exec sh\n";
        assert!(arguments.ends_with(end), "{arguments}");
        assert!(arguments.contains("-o BatchMode=yes"));
        match ssh.run("asking", "echo no; exit 3") {
            Err(RemoteError::Refused { said, .. }) => assert_eq!(said, "no"),
            other => panic!("{other:?}"),
        }
        // A script cannot take the shell with it, nor read what is not its own.
        assert_eq!(ssh.run("asking", "cat").unwrap(), "");
    }

    #[test]
    fn who_is_not_let_in_hears_why_and_what_to_try() {
        let directory = tempfile::tempdir().unwrap();
        let directory = Utf8Path::from_path(directory.path()).unwrap();
        let script = "echo banner >&2; echo 'Permission denied (publickey).' >&2; exit 255";
        match Ssh::start(order(directory, script)).map(drop) {
            Err(RemoteError::Login { said, attempt, .. }) => {
                assert_eq!(said, "Permission denied (publickey).");
                assert!(attempt.ends_with("-o BatchMode=yes -p 2222 -l root -i /key host true"));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_shell_that_died_is_opened_again_and_ends_with_its_owner() {
        let directory = tempfile::tempdir().unwrap();
        let directory = Utf8Path::from_path(directory.path()).unwrap();
        let ssh = Ssh::start(order(directory, "exec sh")).unwrap();
        let first = ssh.run("asking", "echo $PPID; kill $$ && sleep 1");
        assert!(matches!(first, Err(RemoteError::Lost { .. })), "{first:?}");
        let deadline = Instant::now() + Duration::from_secs(10);
        let pid = loop {
            match ssh.run("asking", "echo $$") {
                Ok(pid) => break pid.trim().parse().unwrap(),
                Err(error) if Instant::now() > deadline => panic!("{error}"),
                Err(_) => std::thread::sleep(Duration::from_millis(50)),
            }
        };
        let process = ProcessId::of(pid).unwrap();
        drop(ssh);
        assert!(!process.is_alive());
    }
}
