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
    /// The string is not what identifies a lab.
    #[error("`{0}` does not identify a lab: that takes 32 hexadecimal digits")]
    Identifier(String),
}

/// The pattern of names, but for their length.
pub(crate) const PATTERN: &str = "^[a-z]([a-z0-9-]*[a-z0-9])?$";

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
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $type(String);

        impl $type {
            /// The most characters that it has.
            pub const MAX_LENGTH: usize = $max;

            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(name: String) -> Result<Self, NameError> {
                checked(name, $kind, Self::MAX_LENGTH).map(Self)
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

/// What tells one lab from every other, also from a later one of the same name: 128 random bits, in hexadecimal.
/// Domains and networks carry it in their metadata.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LabId(String);

impl LabId {
    /// The digits of an identifier.
    const DIGITS: usize = 32;

    /// Draws one from a source of randomness.
    ///
    /// # Errors
    /// When the source gives none.
    pub fn draw(random: &mut impl std::io::Read) -> std::io::Result<Self> {
        let mut bytes = [0; Self::DIGITS / 2];
        random.read_exact(&mut bytes)?;
        Ok(Self(bytes.iter().map(|b| format!("{b:02x}")).collect()))
    }

    /// What stands for one in documents that are shown before there is a lab.
    pub fn placeholder() -> Self {
        Self("0".repeat(Self::DIGITS))
    }

    /// Returns the digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for LabId {
    type Error = NameError;
    fn try_from(text: String) -> Result<Self, NameError> {
        let digits = |text: &str| text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        match text.len() == Self::DIGITS && digits(&text) {
            true => Ok(Self(text)),
            false => Err(NameError::Identifier(text)),
        }
    }
}

impl FromStr for LabId {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        text.to_owned().try_into()
    }
}

impl From<LabId> for String {
    fn from(id: LabId) -> Self {
        id.0
    }
}

impl fmt::Display for LabId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for LabId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LabId({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lab_s_identifier_has_32_digits() {
        let drawn = LabId::draw(&mut [0xabu8; 16].as_slice()).unwrap();
        assert_eq!(drawn.as_str(), "ab".repeat(16));
        assert_eq!(drawn.to_string().parse::<LabId>().unwrap(), drawn);
        LabId::draw(&mut [0u8; 15].as_slice()).unwrap_err();
        for bad in ["", "ab", &"AB".repeat(16), &"g".repeat(32), &"a".repeat(33)] {
            bad.parse::<LabId>().unwrap_err();
        }
    }

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
