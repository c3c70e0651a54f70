//! YAML in and out: the only user of serde-saphyr.
//!
//! What is written here is read by others with YAML 1.1 rules (kubeadm, kubelet), where an unquoted `12:30:45` or
//! `on` is not a string: every string that any reader could take for something else is quoted.

mod documents;
mod tree;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_saphyr::DuplicateKeyPolicy;

pub use self::documents::{Document, NotYaml, documents};
pub use self::tree::{Node, SyntaxError, Value, parse};

/// The most nodes (scalars, sequences, mappings) that a document may have. The largest that regent reads, a cluster's
/// kubeconfig, has about 30; a bomb of aliases has millions.
const MAX_NODES: usize = 10_000;

/// The length at which the emitter would fold a string. Longer than any that regent writes: a folded command line or
/// key is hard to read and to search.
const NEVER_FOLD: usize = 1 << 20;

/// Why YAML could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The value has no form in YAML, such as a map whose keys are maps.
    #[error("cannot write as YAML")]
    Write(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The text is not YAML, or not of the wanted type.
    #[error("cannot read YAML")]
    Read(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Writes `value` as one YAML document in block style that ends with a line break. Fields stand in the order in which
/// `value` serialises them.
pub fn to_string<T: Serialize>(value: &T) -> Result<String, Error> {
    let options = serde_saphyr::ser_options! { folded_wrap_chars: NEVER_FOLD };
    serde_saphyr::to_string_with_options(value, options)
        .map_err(|error| Error::Write(Box::new(error)))
}

/// Joins documents that [`to_string`] wrote into one stream, `---` between them.
pub fn join<S: AsRef<str>>(documents: impl IntoIterator<Item = S>) -> String {
    let mut stream = String::new();
    for document in documents {
        if !stream.is_empty() {
            stream.push_str("---\n");
        }
        stream.push_str(document.as_ref());
    }
    stream
}

/// Reads one YAML document of a known type: duplicate keys are errors, only `true` and `false` are booleans, and the
/// number of nodes is bounded.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, Error> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_nodes: MAX_NODES },
        duplicate_keys: DuplicateKeyPolicy::Error,
        strict_booleans: true,
    };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| Error::Read(Box::new(error)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn strings_stay_strings_for_every_reader() {
        for text in [
            "52:54:00:12:34:56",
            "12:30:45",
            "yes",
            "on",
            "No",
            "y",
            "~",
            "null",
            "1_000",
            "0644",
            "0x10",
            "1e3",
            ".inf",
            "2026-11-22",
            "=",
            "<<",
            "",
            " a",
            "a ",
            "a: b",
            "# c",
            "- d",
            "*e",
            "&f",
            "!g",
            "%h",
            "@i",
            "`j",
            "{k",
            "[l",
            "1.35",
        ] {
            let line = to_string(&BTreeMap::from([("key", text)])).unwrap();
            let value = line.trim_end().strip_prefix("key: ").unwrap();
            assert!(
                value.starts_with(['"', '\'']),
                "{text:?} is written as {value}"
            );
            assert_eq!(
                from_str::<BTreeMap<String, String>>(&line).unwrap()["key"],
                text
            );
        }
    }

    #[test]
    fn long_strings_stay_on_their_line() {
        let key = "ssh-ed25519 ".repeat(100);
        let text = to_string(&BTreeMap::from([("key", key.trim_end())])).unwrap();
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn several_lines_are_a_literal_block() {
        let text = to_string(&BTreeMap::from([("key", "a\nb\n")])).unwrap();
        assert_eq!(text, "key: |\n  a\n  b\n");
    }

    #[test]
    fn documents_are_joined_by_a_marker() {
        assert_eq!(join(["a: 1\n", "b: 2\n"]), "a: 1\n---\nb: 2\n");
    }

    #[test]
    fn reading_is_strict() {
        from_str::<BTreeMap<String, u8>>("a: 1\na: 2\n").unwrap_err();
        from_str::<bool>("yes").unwrap_err();
        let bomb = format!("[{}]", "a,".repeat(MAX_NODES));
        from_str::<Vec<String>>(&bomb).unwrap_err();
    }
}
