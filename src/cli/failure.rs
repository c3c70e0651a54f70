//! What can go wrong, seen from the outside: every library error mapped to a kind, hints and an exit code.

mod mapping;

use std::collections::BTreeSet;
use std::error::Error;
use std::io::{self, ErrorKind, IsTerminal, Write};

use serde::Serialize;
use serde_json::json;

use crate::spec::Diagnostics;

/// How a command ended that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Done what was asked: exit code 0.
    Done,
    /// A verdict is `fail` or `void`: exit code 1.
    NotPassed,
    /// A program that was run in place of this one ended with this exit code.
    Program(u8),
}

/// The kinds of failure; each has its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Kind {
    /// A wrong command line or a wrong `cluster.yaml`: 2.
    Usage,
    /// The machine lacks something: 3.
    Machine,
    /// An operation failed: 4.
    Operation,
    /// The user interrupted it, and it was cleaned up: 130.
    Interrupted,
    /// Whoever read our output has gone. That is no failure: 0.
    BrokenPipe,
}

impl Kind {
    /// The process's exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::BrokenPipe => 0,
            Self::Usage => 2,
            Self::Machine => 3,
            Self::Operation => 4,
            Self::Interrupted => 130,
        }
    }
}

/// A failed command: what, why, and what to do about it.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    error: Box<dyn Error + Send + Sync>,
    hints: Vec<String>,
    /// What is wrong with `cluster.yaml`, where that is the failure; it shows itself.
    diagnostics: Option<Diagnostics>,
}

impl Failure {
    /// A failure of `kind`; `error` and its sources are shown.
    pub fn new(kind: Kind, error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            kind,
            error: error.into(),
            hints: Vec::new(),
            diagnostics: None,
        }
    }

    /// A wrong command line or file.
    pub fn usage(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Kind::Usage, error)
    }

    /// A wrong `cluster.yaml`.
    pub fn wrong_file(diagnostics: Diagnostics) -> Self {
        let errors = diagnostics.errors();
        Self {
            diagnostics: Some(diagnostics),
            ..Self::usage(match errors {
                1 => "the cluster's file has a mistake".to_owned(),
                _ => format!("the cluster's file has {errors} mistakes"),
            })
        }
    }

    /// The machine lacks something.
    pub fn machine(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Kind::Machine, error)
    }

    /// An operation failed.
    pub fn operation(error: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let failure = Self::new(Kind::Operation, error);
        match disk_is_full(&*failure.error) {
            true => failure.hint("make room, or set REGENT_STATE and REGENT_STORE to another disk"),
            false => failure,
        }
    }

    /// Several operations failed, each on its own: all of them in order, and every hint once.
    pub fn several(failures: impl IntoIterator<Item = Self>) -> Self {
        let (mut lines, mut hints) = (Vec::new(), Vec::new());
        for failure in failures {
            lines.push(failure.summary());
            hints.extend(failure.hints);
        }
        let mut seen = BTreeSet::new();
        hints.retain(|hint| seen.insert(hint.clone()));
        let failure = Self::operation(lines.join("\n"));
        hints.into_iter().fold(failure, Self::hint)
    }

    /// The user interrupted it; `left` says what the world looks like now.
    pub fn interrupted(left: impl Into<String>) -> Self {
        Self::new(Kind::Interrupted, "interrupted").hint(left)
    }

    /// Adds a line that says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What to do about it, line by line.
    pub fn hints(&self) -> &[String] {
        &self.hints
    }

    /// The error and its causes on one line.
    pub fn summary(&self) -> String {
        self.chain().join(": ")
    }

    /// The error and its causes, outermost first; a cause that only repeats the line above it is left out.
    fn chain(&self) -> Vec<String> {
        let mut chain = vec![self.error.to_string()];
        let mut source = self.error.source();
        while let Some(error) = source {
            let line = error.to_string();
            if chain.last().is_some_and(|above| !above.ends_with(&line)) {
                chain.push(line);
            }
            source = error.source();
        }
        chain
    }

    /// Shows it on standard error, as text or as one JSON object, and returns the exit code.
    pub fn report(&self, json: bool) -> u8 {
        if self.kind != Kind::BrokenPipe {
            let text = if json { self.json() } else { self.text() };
            // Nobody is left to tell when standard error is closed.
            let _ = io::stderr().write_all(text.as_bytes());
        }
        self.kind.exit_code()
    }

    fn text(&self) -> String {
        let mut chain = self.chain().into_iter();
        let mut text = match &self.diagnostics {
            Some(diagnostics) => format!("{}\n\n", diagnostics.render(io::stderr().is_terminal())),
            None => String::new(),
        };
        text.push_str(&format!("error: {}\n", chain.next().unwrap_or_default()));
        for cause in chain {
            text.push_str(&format!("caused by: {cause}\n"));
        }
        for hint in &self.hints {
            text.push_str(&format!("hint: {hint}\n"));
        }
        text
    }

    fn json(&self) -> String {
        let mut chain = self.chain();
        let error = chain.remove(0);
        let mut object = json!({
            "error": error,
            "causes": chain,
            "hints": self.hints,
            "kind": self.kind,
            "exitCode": self.kind.exit_code(),
        });
        if let Some(diagnostics) = &self.diagnostics {
            object["diagnostics"] = diagnostics.iter().map(|item| json!(item)).collect();
        }
        format!("{object}\n")
    }
}

impl From<io::Error> for Failure {
    /// Standard output could not be written; files have errors of their own that name the path.
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::BrokenPipe => Self::new(Kind::BrokenPipe, error),
            _ => Self::operation(error),
        }
    }
}

/// Whether a full disk is among an error's causes.
fn disk_is_full(error: &(dyn Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |&error| error.source());
    causes.any(|cause| {
        let io = cause.downcast_ref::<io::Error>();
        io.is_some_and(|error| error.kind() == ErrorKind::StorageFull)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("m2: no answer on port 22")]
    struct Outer(#[source] io::Error);

    fn failure() -> Failure {
        Failure::operation(Outer(io::Error::other("connection refused")))
            .hint("see what the node says: regent logs m2")
    }

    #[test]
    fn text_names_the_error_its_causes_and_the_way_out() {
        assert_eq!(
            failure().text(),
            "error: m2: no answer on port 22\ncaused by: connection refused\nhint: see what the node says: regent logs m2\n"
        );
    }

    #[test]
    fn json_is_one_object_on_one_line() {
        let json = failure().json();
        assert_eq!(json.lines().count(), 1);
        let value: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(value["exitCode"], 4);
        assert_eq!(value["kind"], "operation");
        assert_eq!(value["causes"][0], "connection refused");
    }

    #[test]
    fn a_cause_already_told_is_not_repeated() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot read x: {0}")]
        struct Telling(#[source] io::Error);
        let failure = Failure::operation(Telling(io::Error::other("gone")));
        assert_eq!(failure.text(), "error: cannot read x: gone\n");
    }

    #[test]
    fn of_several_failures_each_is_told_and_every_hint_once() {
        let other = Failure::operation("w1: kubeadm join failed").hint("regent logs w1");
        assert_eq!(
            Failure::several([failure(), other, failure()]).text(),
            "error: m2: no answer on port 22: connection refused\n\
             w1: kubeadm join failed\n\
             m2: no answer on port 22: connection refused\n\
             hint: see what the node says: regent logs m2\n\
             hint: regent logs w1\n"
        );
    }

    #[test]
    fn broken_pipe_is_success() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(failure.kind().exit_code(), 0);
    }
}
