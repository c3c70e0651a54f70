//! Names that reach libvirt, a shell, a file system or XML. Each type has one door
//! (`FromStr`/`TryFrom<String>`), so whoever holds one need not check it again.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a string is not a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The string is empty or longer than the kind of name allows.
    #[error("`{name}` has {length} characters, a {kind} name has 1 to {max}")]
    Length {
        /// What was given.
        name: String,
        /// Its length in characters.
        length: usize,
        /// The longest allowed.
        max: usize,
        /// `cluster` or `node`.
        kind: &'static str,
    },
    /// The string has a character outside `[a-z0-9-]`, or begins or ends with `-`, or begins with a digit.
    #[error(
        "`{name}` is not a {kind} name: lower-case letters, digits and `-`, beginning with a letter, not ending with `-`"
    )]
    Characters {
        /// What was given.
        name: String,
        /// `cluster` or `node`.
        kind: &'static str,
    },
}

fn checked(name: String, kind: &'static str, max: usize) -> Result<String, NameError> {
    let length = name.chars().count();
    if length == 0 || length > max {
        return Err(NameError::Length {
            name,
            length,
            max,
            kind,
        });
    }
    let inner = name
        .bytes()
        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    let first = name.starts_with(|c: char| c.is_ascii_lowercase());
    if !inner || !first || name.ends_with('-') {
        return Err(NameError::Characters { name, kind });
    }
    Ok(name)
}

macro_rules! name_type {
    ($(#[$doc:meta])* $type:ident, $kind:literal, $max:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema)]
        #[serde(try_from = "String", into = "String")]
        #[schemars(inline, extend("pattern" = "^[a-z]([a-z0-9-]*[a-z0-9])?$", "maxLength" = $max))]
        pub struct $type(String);

        impl $type {
            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(name: String) -> Result<Self, NameError> {
                checked(name, $kind, $max).map(Self)
            }
        }

        impl FromStr for $type {
            type Err = NameError;
            fn from_str(name: &str) -> Result<Self, NameError> {
                name.to_owned().try_into()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }
    };
}

name_type!(
    /// The name of a cluster, and of its lab: a DNS label of at most 20 characters, so that
    /// `<cluster>-<node>` stays a valid libvirt domain name, host name and cgroup directory.
    ClusterName,
    "cluster",
    20
);

name_type!(
    /// The name of a node within its cluster, such as `m1`, `w2` or `lb1`. Also its host name.
    NodeName,
    "node",
    20
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_door() {
        for good in ["a", "demo", "m1", "a-b-c", "abcdefghijklmnopqrst"] {
            assert_eq!(good.parse::<ClusterName>().unwrap().as_str(), good);
        }
        for bad in [
            "",
            "-a",
            "a-",
            "1a",
            "A",
            "a_b",
            "a b",
            "a/b",
            "a\0",
            "ä",
            "abcdefghijklmnopqrstu",
        ] {
            bad.parse::<NodeName>().unwrap_err();
        }
    }
}
