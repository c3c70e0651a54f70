//! Names of outputs.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Sha256;

/// The name of an output in a store: 32 hexadecimal digits, `-`, and a name for people.
///
/// The digits are the first half of the hash of what the output is made of: 128 bits tell outputs
/// apart; what an output holds is vouched for by the full hash in its registration.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StorePath(String);

/// How many hexadecimal digits of the hash stand in a path.
const DIGITS: usize = 32;

/// The longest name: with hash and suffixes it stays well under the 255 bytes of a directory entry.
const MAX_NAME: usize = 160;

/// Why a string is not a store path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a store path: 32 hexadecimal digits, `-`, and a name of letters, digits and `+-._~`"
)]
pub struct StorePathError(String);

impl StorePath {
    /// Returns the path for a thing of this hash and name.
    pub fn new(hash: Sha256, name: &str) -> Result<Self, StorePathError> {
        format!("{}-{name}", &hash.to_string()[..DIGITS]).try_into()
    }

    /// Returns the whole file name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the name for people.
    pub fn name(&self) -> &str {
        &self.0[DIGITS + 1..]
    }
}

impl TryFrom<String> for StorePath {
    type Error = StorePathError;
    fn try_from(text: String) -> Result<Self, StorePathError> {
        let good_name = |name: &str| {
            let inner = |b: u8| b.is_ascii_alphanumeric() || b"+-._~".contains(&b);
            (1..=MAX_NAME).contains(&name.len())
                && !name.starts_with('.')
                && name.bytes().all(inner)
        };
        let good_digits = |digits: &str| {
            digits.len() == DIGITS
                && digits
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        };
        match text.split_once('-') {
            Some((digits, name)) if good_digits(digits) && good_name(name) => Ok(Self(text)),
            _ => Err(StorePathError(text)),
        }
    }
}

impl FromStr for StorePath {
    type Err = StorePathError;
    fn from_str(text: &str) -> Result<Self, StorePathError> {
        text.to_owned().try_into()
    }
}

impl From<StorePath> for String {
    fn from(path: StorePath) -> Self {
        path.0
    }
}

impl fmt::Display for StorePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_one_door() {
        let path = StorePath::new(Sha256::of(b"x"), "iptables_1.8.11-2_amd64.deb").unwrap();
        assert_eq!(
            path.as_str(),
            "2d711642b726b04401627ca9fbac32f5-iptables_1.8.11-2_amd64.deb"
        );
        assert_eq!(path.name(), "iptables_1.8.11-2_amd64.deb");
        assert_eq!(path.as_str().parse(), Ok(path.clone()));
        for bad in [
            "",
            "../../etc",
            "a/b",
            ".hidden",
            "a b",
            "a\0",
            &"a".repeat(161),
        ] {
            StorePath::new(Sha256::of(b"x"), bad).unwrap_err();
        }
        for bad in [
            "2d711642b726b04401627ca9fbac32f5",
            "2d711642-x",
            "2D711642B726B04401627CA9FBAC32F5-x",
            ".registry",
        ] {
            bad.parse::<StorePath>().unwrap_err();
        }
    }
}
