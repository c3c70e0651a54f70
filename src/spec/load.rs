//! From the text of `cluster.yaml` to a [`ClusterSpec`], or to everything that is wrong with it.

use super::diagnostic::{Diagnostics, Mark, ValueError};
use super::reader::Reader;
use super::section::Section;
use super::{ClusterSpec, Machine, rules};
use crate::yaml;

/// The largest file that is read. The default one, with comments, has 3 KiB.
const MAX_BYTES: usize = 1 << 20;

/// A valid file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded {
    /// What it says.
    pub spec: ClusterSpec,
    /// What the user should look at all the same.
    pub warnings: Diagnostics,
}

/// Reads and checks `cluster.yaml`. `file_name` is for messages only; nothing outside `text` is read. Fails with every
/// error and warning that the file deserves; only text that is not YAML ends at its first mistake.
pub fn load(text: &str, file_name: &str, machine: &Machine) -> Result<Loaded, Diagnostics> {
    let (spec, marks) = read(text, machine);
    let diagnostics = Diagnostics::new(file_name, text, marks);
    match spec {
        Some(spec) if diagnostics.errors() == 0 => Ok(Loaded {
            spec,
            warnings: diagnostics,
        }),
        _ => Err(diagnostics),
    }
}

fn read(text: &str, machine: &Machine) -> (Option<ClusterSpec>, Vec<Mark>) {
    if text.len() > MAX_BYTES {
        let error = ValueError::new(format!(
            "the file has {} bytes, at most {MAX_BYTES} are read",
            text.len()
        ));
        return (None, vec![error.at(0..0)]);
    }
    let node = match yaml::parse(text) {
        Ok(Some(node)) => node,
        Ok(None) => {
            let error = ValueError::new("the file says nothing")
                .hint("`regent init` writes a file to begin with");
            return (None, vec![error.at(0..0)]);
        }
        Err(error) => {
            let mark = ValueError::new(error.message)
                .hint(error.hint)
                .at(error.span);
            return (None, vec![mark]);
        }
    };
    let mut reader = Reader::default();
    let Some(section) = reader.root(&node) else {
        return (None, reader.marks);
    };
    // What is wrong or absent has its default.
    let mut spec = nothing();
    spec.read(&mut reader, &section);
    let mut marks = reader.marks;
    marks.extend(rules::check(&spec, &reader.positions, machine));
    (Some(spec), marks)
}

/// What a file has that says nothing.
pub(super) fn nothing() -> ClusterSpec {
    #[expect(clippy::expect_used, reason = "a literal that is a name")]
    ClusterSpec::new("unnamed".parse().expect("a name"))
}
