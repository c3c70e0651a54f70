//! What every command shares: the global flags, the output, the wish to stop.

use std::io::{self, IsTerminal, Write};

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::args::Global;
use super::failure::Failure;
use super::show::Show;
use crate::beside::BesideError;
use crate::cluster_file::{self, ClusterFile, ClusterFileError};
use crate::event::Events;
use crate::name::ClusterName;
use crate::plan::Plan;
use crate::spec::{Diagnostics, Machine};

/// What every command shares.
#[derive(Debug)]
pub struct Context {
    /// The flags that every command takes; paths are absolute.
    pub global: Global,
    /// Cancelled by the first Ctrl-C or SIGTERM.
    pub interrupt: CancellationToken,
    /// What shows events.
    pub show: Show,
}

impl Context {
    /// Reads the command's file, which must fit into `machine`.
    ///
    /// # Errors
    /// When it cannot be read or is wrong.
    pub fn file(&self, machine: &Machine) -> Result<ClusterFile, Failure> {
        let read = ClusterFile::read(&self.global.file, machine, |cluster| self.auto(cluster));
        read.map_err(|error| self.no_file(error))
    }

    /// The name of the cluster of the command's file, whatever else is wrong with that.
    ///
    /// # Errors
    /// When the file cannot be read, or has no name.
    pub fn name(&self) -> Result<ClusterName, Failure> {
        cluster_file::name(&self.global.file).map_err(|error| self.no_file(error))
    }

    fn no_file(&self, error: ClusterFileError) -> Failure {
        let path = &self.global.file;
        match error {
            ClusterFileError::Wrong(diagnostics) => Failure::wrong_file(diagnostics),
            ClusterFileError::Lab(error) => error.into(),
            ClusterFileError::Beside(BesideError::Own(_)) => Failure::usage(error)
                .hint("give them a directory of their own beside it, such as `manifests`"),
            ClusterFileError::Beside(_) => {
                Failure::usage(error).hint("nothing was built or changed")
            }
            ClusterFileError::Read { .. } => Failure::usage(error)
                .hint(format!("`regent -f {path} init` writes a cluster's file")),
        }
    }

    /// The plan of the command's file, wherever it would run.
    ///
    /// # Errors
    /// As for [`file`](Self::file).
    pub fn plan(&self) -> Result<Plan, Failure> {
        Ok(self.file(&Machine::default())?.plan)
    }

    /// Labs need root from the first step on; better said before an image is built.
    ///
    /// # Errors
    /// When the process is not root's.
    pub fn need_root(&self) -> Result<(), Failure> {
        if rustix::process::geteuid().is_root() {
            Ok(())
        } else {
            Err(Failure::machine("labs are root's, and this process is not")
                .hint("run it with sudo"))
        }
    }

    /// Shows what the user should look at in the command's file.
    pub fn warn(&self, warnings: &Diagnostics) {
        if self.global.json {
            for warning in warnings {
                self.events().warn(warning.to_string());
            }
        } else if !warnings.is_empty() {
            self.show.flush();
            let text = warnings.render(io::stderr().is_terminal());
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(io::stderr(), "{text}\n");
        }
    }

    /// Where the library's events go.
    pub fn events(&self) -> Events {
        self.show.events()
    }

    /// Writes a result to standard output: `text` as it is, or with `--json` `value` on one line.
    ///
    /// # Errors
    /// When standard output cannot be written; [`Kind::BrokenPipe`](super::failure::Kind) when its reader has gone.
    pub fn print(&self, text: &str, value: &impl Serialize) -> Result<(), Failure> {
        self.show.flush();
        let mut stdout = io::stdout().lock();
        if self.global.json {
            serde_json::to_writer(&mut stdout, value).map_err(io::Error::from)?;
            writeln!(stdout)?;
        } else {
            stdout.write_all(text.as_bytes())?;
        }
        Ok(stdout.flush()?)
    }

    /// Writes to standard output what has one form only, such as a schema.
    ///
    /// # Errors
    /// As for [`print`](Self::print).
    pub fn print_raw(&self, bytes: &[u8]) -> Result<(), Failure> {
        self.show.flush();
        let mut stdout = io::stdout().lock();
        stdout.write_all(bytes)?;
        Ok(stdout.flush()?)
    }

    /// Runs `work` on a thread of its own and waits for it, or for an interrupt: then the thread is left behind,
    /// to end with the process, and the failure's hint is `left`.
    ///
    /// # Errors
    /// What `work` returns, or [`Kind::Interrupted`](super::failure::Kind).
    pub fn blocking<T, E>(
        &self,
        left: &str,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, Failure>
    where
        T: Send + 'static,
        E: Into<Failure> + Send + 'static,
    {
        let (sender, receiver) = tokio::sync::oneshot::channel();
        std::thread::Builder::new()
            .name("command".into())
            .spawn(move || drop(sender.send(work())))?;
        self.wait(left, async move {
            match receiver.await {
                Ok(result) => result.map_err(Into::into),
                Err(_) => Err(Failure::operation("the command's thread panicked")),
            }
        })
    }

    /// Waits for `future` on a small runtime, or for an interrupt.
    fn wait<T>(
        &self,
        left: &str,
        future: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().build()?;
        runtime.block_on(self.or_interrupt(left, future))
    }

    /// Drops `future` at an interrupt; the failure's hint is then `left`.
    ///
    /// # Errors
    /// What `future` returns, or [`Kind::Interrupted`](super::failure::Kind).
    pub async fn or_interrupt<T, E: Into<Failure>>(
        &self,
        left: &str,
        future: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure> {
        tokio::select! {
            result = future => result.map_err(Into::into),
            () = self.interrupt.cancelled() => Err(Failure::interrupted(left)),
        }
    }
}
