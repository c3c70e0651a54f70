//! Programs that builders run, kept from everything that is not theirs.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};

use super::error::{BuildError, FileError, at, tail};
use super::tree::EPOCH;

/// No builder's program may take longer: the slowest, the kubelet's first compilation, takes 3 minutes on two cores.
const DEADLINE: Duration = Duration::from_secs(30 * 60);

/// How often a program with network is run: a module proxy that drops one of a thousand requests ends a whole run.
const NETWORK_ATTEMPTS: u32 = 3;

/// How often to look whether a program has ended; short beside the shortest build (0.1 s).
const GLANCE: Duration = Duration::from_millis(10);

/// What a program with network may see of the user's environment: where the module proxy is and how to reach it.
const NETWORK_ENVIRONMENT: &[&str] = &[
    "GOPROXY",
    "GOPRIVATE",
    "GONOPROXY",
    "GOSUMDB",
    "GONOSUMDB",
    "GOENV",
    "HOME",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];

/// A program to run for a builder.
///
/// It gets mount, process and network namespaces of its own (no network unless [`network`](Self::network)),
/// an environment with nothing but `PATH`, a fixed time, locale and umask, and an end: when it exits, or
/// when regent does, everything that it started is killed, and its mounts are gone.
#[derive(Debug)]
#[must_use = "a command does nothing until it is run"]
pub struct Sandboxed<'a> {
    log: &'a Utf8Path,
    directory: Utf8PathBuf,
    program: String,
    arguments: Vec<String>,
    environment: BTreeMap<String, String>,
    network: bool,
}

impl<'a> Sandboxed<'a> {
    pub(super) fn new(log: &'a Utf8Path, scratch: &Utf8Path, program: String) -> Self {
        let fixed = [
            ("HOME", scratch.as_str()),
            ("LC_ALL", "C.UTF-8"),
            ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
            ("SOURCE_DATE_EPOCH", &EPOCH.to_string()),
            ("TMPDIR", scratch.as_str()),
            ("TZ", "UTC"),
        ];
        let environment = fixed
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        Self {
            log,
            directory: scratch.to_owned(),
            program,
            arguments: Vec::new(),
            environment,
            network: false,
        }
    }

    /// Appends an argument.
    pub fn arg(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Appends arguments.
    pub fn args<T: Into<String>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Sets an environment variable.
    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.insert(name.to_owned(), value.into());
        self
    }

    /// Sets the working directory; else it is the builder's scratch directory.
    pub fn directory(mut self, directory: impl Into<Utf8PathBuf>) -> Self {
        self.directory = directory.into();
        self
    }

    /// Leaves the program the machine's network, and what the user's environment says about how to use it.
    /// Only for what is checked against a hash afterwards.
    pub fn network(mut self) -> Self {
        self.network = true;
        let given = NETWORK_ENVIRONMENT
            .iter()
            .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)));
        self.environment.extend(given);
        self
    }

    /// Runs it to its end; what it says goes to the log.
    pub fn run(self) -> Result<(), BuildError> {
        self.attempt(|| open_log(self.log))
    }

    /// Runs it to its end, and returns what it wrote to standard output.
    pub fn output(self) -> Result<String, BuildError> {
        let path = self.directory.join("stdout");
        self.attempt(|| File::create(&path).map_err(at(&path)))?;
        Ok(std::fs::read_to_string(&path).map_err(at(&path))?)
    }

    /// Runs it, and with network again if it failed: that may have been the network.
    fn attempt(&self, stdout: impl Fn() -> Result<File, FileError>) -> Result<(), BuildError> {
        let attempts = if self.network { NETWORK_ATTEMPTS } else { 1 };
        let mut attempt = 1;
        loop {
            match self.run_once(stdout()?.into()) {
                Err(BuildError::Failed { .. }) if attempt < attempts => attempt += 1,
                end => return end,
            }
        }
    }

    fn run_once(&self, stdout: Stdio) -> Result<(), BuildError> {
        let mut child = self
            .command()
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(open_log(self.log)?)
            .spawn()
            .map_err(|source| BuildError::Start {
                program: self.program.clone(),
                source,
            })?;
        match wait(&mut child, DEADLINE).map_err(at(self.log))? {
            Some(status) if status.success() => Ok(()),
            ended => Err(self.failure(ended)),
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new("setpriv");
        command.args([
            "--pdeathsig",
            "KILL",
            "--",
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "--kill-child=KILL",
            "--mount-proc",
        ]);
        if !self.network {
            command.arg("--net");
        }
        command
            .args([
                "--",
                "sh",
                "-c",
                "umask 022; exec \"$@\"",
                "sh",
                &self.program,
            ])
            .args(&self.arguments);
        command
            .env_clear()
            .envs(&self.environment)
            .current_dir(&self.directory);
        command
    }

    fn failure(&self, ended: Option<ExitStatus>) -> BuildError {
        let (program, log, tail) = (self.program.clone(), self.log.to_owned(), tail(self.log));
        // The C library's words, or Go's.
        if tail.to_lowercase().contains("no space left on device") {
            return BuildError::Full {
                path: self.directory.clone(),
            };
        }
        match ended {
            Some(status) => BuildError::Failed {
                program,
                status,
                log,
                tail,
            },
            None => BuildError::Deadline {
                program,
                deadline: DEADLINE,
                log,
                tail,
            },
        }
    }
}

fn open_log(path: &Utf8Path) -> Result<File, FileError> {
    File::options()
        .create(true)
        .append(true)
        .open(path)
        .map_err(at(path))
}

/// Waits for `child`; kills it, and with it all that it started, when it takes longer than `deadline`.
fn wait(child: &mut Child, deadline: Duration) -> std::io::Result<Option<ExitStatus>> {
    let begun = Instant::now();
    loop {
        match child.try_wait() {
            Ok(None) if begun.elapsed() > deadline => {
                child.kill()?;
                child.wait()?;
                return Ok(None);
            }
            Ok(None) => thread::sleep(GLANCE),
            Ok(Some(status)) => return Ok(Some(status)),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
