//! The program itself on a cluster of its own, and with its own state directory: what only a process can show, such as
//! being killed, a umask, an environment.

use std::io::Read as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use camino::{Utf8Path, Utf8PathBuf};
use regent::lab::LabPaths;

use crate::cluster::Seen;
use crate::lab::{Result, State};
use crate::place;
use crate::scenarios::expect;

/// Two control-plane nodes, so that one joins as etcd's second member, and a worker.
const CLUSTER: &str = "\
apiVersion: regent/v1
name: omicron
hypervisor: { driver: lxc }
controlPlane: { count: 2 }
workers: { count: 1 }
";

/// Waits for the deployment `app`.
pub const ROLLOUT: [&str; 5] = [
    "kubectl",
    "rollout",
    "status",
    "deployment/app",
    "--timeout=60s",
];

/// An image is in the store, so nothing that a command does takes longer.
const LIMIT: Duration = Duration::from_secs(300);

/// The aim for an end of a cluster.
const DOWN: Duration = Duration::from_secs(5);

/// The program on its cluster.
pub struct Program {
    state: State,
    /// What a user has: the file, the evidence.
    directory: tempfile::TempDir,
}

impl Program {
    /// Nothing runs yet.
    pub fn new() -> Result<Self> {
        Self::with(CLUSTER)
    }

    /// The same with another file; its cluster has the same name.
    pub fn with(cluster: &str) -> Result<Self> {
        let program = Self {
            state: State::new()?,
            directory: tempfile::tempdir()?,
        };
        program.write(cluster)?;
        Ok(program)
    }

    /// Edits the cluster's file.
    pub fn write(&self, cluster: &str) -> Result {
        Ok(std::fs::write(self.file()?, cluster)?)
    }

    /// The cluster's file.
    pub fn file(&self) -> Result<Utf8PathBuf> {
        Ok(self.directory()?.join("cluster.yaml"))
    }

    /// Where the program is run, and leaves what it makes for its user.
    pub fn directory(&self) -> Result<&Utf8Path> {
        Ok(self.directory.path().try_into()?)
    }

    /// The lab.
    pub fn paths(&self) -> Result<LabPaths> {
        Ok(LabPaths::new(self.state.path(), &"omicron".parse()?))
    }

    /// Another file for the same cluster: this one with something replaced.
    pub fn other_file(&self, from: &str, to: &str) -> Result<Utf8PathBuf> {
        let path = self.directory()?.join("other.yaml");
        expect(CLUSTER.contains(from), format!("`{from}` in the file"))?;
        std::fs::write(&path, CLUSTER.replace(from, to))?;
        Ok(path)
    }

    /// `regent -f FILE ARGS…`, to be run.
    pub fn command(&self, args: &[&str]) -> Result<Command> {
        self.command_with(&self.file()?, args)
    }

    /// The same with another file.
    pub fn command_with(&self, file: &Utf8Path, args: &[&str]) -> Result<Command> {
        let (_, store) = place::directories();
        let mut command = Command::new(env!("CARGO_BIN_EXE_regent"));
        command
            .args(["-f", file.as_str()])
            .args(args)
            .current_dir(self.directory()?)
            .stdin(Stdio::null())
            .env("REGENT_STATE", self.state.path())
            .env("REGENT_STORE", store);
        Ok(command)
    }

    /// Runs it to its end.
    pub fn regent(&self, args: &[&str]) -> Result<Output> {
        finish(self.command(args)?)
    }

    /// Runs it; its standard output if it ends well.
    pub fn says(&self, args: &[&str]) -> Result<String> {
        says(self.command(args)?)
    }

    /// Runs it; what it says if it ends with `code`.
    pub fn refuses(&self, args: &[&str], code: i32) -> Result<String> {
        refuses(self.command(args)?, code)
    }

    /// Runs it with a failpoint (`REGENT_FAILPOINT`).
    pub fn with_failpoint(&self, args: &[&str], point: &str) -> Result<Output> {
        let mut command = self.command(args)?;
        command.env("REGENT_FAILPOINT", point);
        finish(command)
    }

    /// Runs it until it kills itself at a point.
    pub fn dies_at(&self, args: &[&str], point: &str) -> Result {
        let ended = self.with_failpoint(args, point)?;
        let told = format!("killed at {point}, not {}", said(&ended));
        expect(killed(&ended), told)
    }

    /// Stores a ConfigMap, if the API can be reached; whether it is stored.
    pub fn stores(&self, name: &str) -> Result<bool> {
        let store = ["kubectl", "create", "configmap", name];
        let output = self.regent(&[&store[..], &["--request-timeout=3s"]].concat())?;
        Ok(output.status.success())
    }

    /// Runs a script, in which `@regent` stands for the program with a file, under load. The verdict, which is a pass.
    pub fn passes_during(&self, file: &Utf8Path, script: &str) -> Result<serde_json::Value> {
        let regent = format!("{} -f {file}", env!("CARGO_BIN_EXE_regent"));
        let script = script.replace("@regent", &regent);
        let verify = self.regent(&["verify", "--json", "--during", &script])?;
        let said = String::from_utf8_lossy(&verify.stdout);
        let verdict = said
            .lines()
            .last()
            .map(serde_json::from_str::<serde_json::Value>);
        let Some(Ok(verdict)) = verdict else {
            return Err(format!("no verdict: {}", self::said(&verify)).into());
        };
        let passed = verdict["verdict"] == "pass";
        expect(
            passed,
            format!("a pass: {} of `{script}`", verdict["reasons"]),
        )?;
        Ok(verdict)
    }

    /// Applies a manifest that has a deployment `app`, and waits until that is rolled out.
    pub fn deploys(&self, manifest: &str) -> Result {
        let path = self.directory()?.join("app.yaml");
        std::fs::write(&path, manifest)?;
        self.says(&["kubectl", "apply", "--filename", path.as_str()])?;
        self.says(&ROLLOUT).map(drop)
    }

    /// Fails unless every one of these ConfigMaps is there.
    pub fn keeps(&self, names: &[String]) -> Result {
        let there = self.says(&["kubectl", "get", "configmaps", "--output", "name"])?;
        let missing = |name: &&String| {
            !there
                .lines()
                .any(|line| line.ends_with(&format!("/{name}")))
        };
        let missing: Vec<_> = names.iter().filter(missing).collect();
        expect(missing.is_empty(), format!("{missing:?} in {there}"))
    }

    /// What `status` shows.
    pub fn status(&self) -> Result<serde_json::Value> {
        Ok(serde_json::from_str(&self.says(&["status", "--json"])?)?)
    }

    /// Fails unless every check holds.
    pub fn is_healthy(&self) -> Result {
        let status = self.status()?;
        let checks = status["checks"].as_array().ok_or("no checks")?;
        let healthy = !checks.is_empty() && checks.iter().all(|check| check["missing"].is_null());
        expect(healthy, format!("every check holds: {status}"))
    }

    /// Looks that the scenario before left nothing to repair. Makes the cluster where there is none.
    pub fn is_as_planned(&self) -> Result {
        let begins = !self.paths()?.root().exists();
        let up = self.says(&["up", "--json"])?;
        let unchanged = up.contains(r#""up":"unchanged""#);
        expect(
            begins || unchanged,
            format!("nothing to repair before it: {up}"),
        )
    }

    /// Takes the cluster down; returns how long that took. Nothing is left.
    pub fn down(&self) -> Result<Duration> {
        let begun = Instant::now();
        self.says(&["down"])?;
        let took = begun.elapsed();
        self.state.nothing_is_left()?;
        Ok(took)
    }

    /// The same within seconds, whatever ran there for however long.
    pub fn down_at_once(&self) -> Seen {
        let took = self.down()?;
        expect(took < DOWN, format!("within {DOWN:?}, not {took:.1?}"))?;
        Ok(format!("{took:.1?}"))
    }
}

/// Waits until a command has ended. One that does not is killed, and that is an error.
pub fn finish(mut command: Command) -> Result<Output> {
    // Whoever it started must not hold its output open: a lab's daemons outlive it.
    let (mut reader, writer) = std::io::pipe()?;
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(writer.try_clone()?)
        .spawn()?;
    drop((command, writer));
    let mut stdout = child.stdout.take().ok_or("no standard output")?;
    let out = std::thread::spawn(move || {
        let mut text = Vec::new();
        stdout.read_to_end(&mut text).map(|_| text)
    });
    let err = std::thread::spawn(move || {
        let mut text = Vec::new();
        reader.read_to_end(&mut text).map(|_| text)
    });
    let status = wait(&mut child)?;
    let text = |thread: std::thread::JoinHandle<std::io::Result<Vec<u8>>>| {
        thread.join().map_err(|_| "a reader panicked")
    };
    Ok(Output {
        status,
        stdout: text(out)??,
        stderr: text(err)??,
    })
}

/// Runs a command; its standard output if it ends well.
pub fn says(command: Command) -> Result<String> {
    let words = format!("{command:?}");
    let output = finish(command)?;
    expect(
        output.status.success(),
        format!("{words}: {}", said(&output)),
    )?;
    Ok(String::from_utf8(output.stdout)?)
}

/// Runs a command; what it says if it ends with `code`.
pub fn refuses(command: Command, code: i32) -> Result<String> {
    let words = format!("{command:?}");
    let output = finish(command)?;
    let refused = output.status.code() == Some(code);
    expect(
        refused,
        format!("{words} ends with {code}, not {}", said(&output)),
    )?;
    Ok(said(&output))
}

/// Waits until a child has ended, for a while; then kills it.
pub fn wait(child: &mut Child) -> Result<std::process::ExitStatus> {
    let begun = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if begun.elapsed() > LIMIT {
            child.kill()?;
            child.wait()?;
            return Err(format!("a command has not ended after {LIMIT:?}").into());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Has a command run under a umask.
pub fn under_umask(command: &mut Command, umask: u32) {
    let set = move || {
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(umask));
        Ok(())
    };
    #[expect(unsafe_code, reason = "the standard library has no umask")]
    // SAFETY: umask(2) is async-signal-safe, and nothing else is called between fork and exec.
    unsafe {
        command.pre_exec(set);
    }
}

/// Whether a command was killed hard, as a failpoint does it.
pub fn killed(output: &Output) -> bool {
    output.status.signal() == Some(9)
}

/// How a command ended, and everything that it said.
pub fn said(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    let text = [String::from_utf8_lossy(out), String::from_utf8_lossy(err)].concat();
    format!("{}: {text}", output.status)
}
