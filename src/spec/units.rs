//! Values with a spelling of their own: amounts of memory, durations, versions.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Value, json};

use super::diagnostic::ValueError;
use super::rule::{Spelling, serde_as_spelt};
use super::suggest::list;

/// The Kubernetes versions that regent can build: one recipe under `images/go` each.
pub const SUPPORTED_KUBERNETES: &[KubernetesVersion] = &[KubernetesVersion {
    major: 1,
    minor: 35,
    patch: 4,
}];

/// A Kubernetes version that regent can build: `1.35.4`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KubernetesVersion {
    /// `1`
    pub major: u16,
    /// `35`
    pub minor: u16,
    /// `4`
    pub patch: u16,
}

impl Default for KubernetesVersion {
    /// The newest that regent can build.
    fn default() -> Self {
        SUPPORTED_KUBERNETES[SUPPORTED_KUBERNETES.len() - 1]
    }
}

impl fmt::Display for KubernetesVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl FromStr for KubernetesVersion {
    type Err = ValueError;
    /// Takes a full version or a minor one, of which it is the newest that regent builds; with or without a `v`.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let wished = text.strip_prefix('v').unwrap_or(text);
        let mut newest_first = SUPPORTED_KUBERNETES.iter().rev();
        let found = newest_first.find(|version| version.spellings().any(|word| word == wished));
        if let Some(version) = found {
            return Ok(*version);
        }
        let numbers: Vec<_> = wished.split('.').map(str::parse::<u16>).collect();
        let message = match matches!(numbers.len(), 2 | 3) && numbers.iter().all(Result::is_ok) {
            true => format!("version {wished} is not supported"),
            false => format!("`{text}` is not a version"),
        };
        let supported: Vec<_> = SUPPORTED_KUBERNETES.iter().map(Self::to_string).collect();
        let versions = list(supported.iter().map(String::as_str), "and");
        Err(ValueError::new(message).hint(format!("regent builds {versions}")))
    }
}

impl KubernetesVersion {
    /// How it is written: `1.35.4`, and `1.35` for the newest of them.
    fn spellings(&self) -> impl Iterator<Item = String> {
        [self.to_string(), format!("{}.{}", self.major, self.minor)].into_iter()
    }
}

impl Serialize for KubernetesVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KubernetesVersion {
    /// Takes any version: what runs may be one that a later regent no longer builds.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let numbers: Option<Vec<u16>> = text.split('.').map(|part| part.parse().ok()).collect();
        match numbers.as_deref() {
            Some(&[major, minor, patch]) => Ok(Self {
                major,
                minor,
                patch,
            }),
            _ => Err(D::Error::custom(format_args!("`{text}` is not a version"))),
        }
    }
}

impl Spelling for KubernetesVersion {
    fn schema() -> Value {
        let versions: BTreeSet<_> = SUPPORTED_KUBERNETES
            .iter()
            .flat_map(Self::spellings)
            .collect();
        json!({"type": "string", "enum": versions})
    }
}

/// An amount of memory in bytes; written `2GiB`, `512MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Memory(pub u64);

impl Memory {
    /// `mib` times 2^20 bytes.
    pub const fn mib(mib: u64) -> Self {
        Self(mib << 20)
    }

    /// `gib` times 2^30 bytes.
    pub const fn gib(gib: u64) -> Self {
        Self(gib << 30)
    }

    /// The amount in bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Memory {
    /// As it is written in the file, `2GiB` or `1536MiB`; what is not whole MiB, the file cannot say and is rounded down.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 >> 20 {
            mib if mib > 0 && mib % 1024 == 0 => write!(f, "{}GiB", mib >> 10),
            mib => write!(f, "{mib}MiB"),
        }
    }
}

impl FromStr for Memory {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let Some((amount, unit)) = split_unit(text) else {
            let error = ValueError::new(format!("`{text}` is not an amount of memory"));
            return Err(error.hint("write a whole number and a unit, such as `2GiB` or `1536MiB`"));
        };
        let bytes = match unit {
            "GiB" => amount.checked_mul(1 << 30),
            "MiB" => amount.checked_mul(1 << 20),
            _ => {
                let meant = match unit.trim().to_ascii_lowercase().as_str() {
                    "g" | "gb" | "gi" | "gib" => "GiB",
                    "m" | "mb" | "mi" | "mib" => "MiB",
                    // No node has 64 MiB, and few have 64 GiB.
                    _ if amount < 64 => "GiB",
                    _ => "MiB",
                };
                let message = match unit {
                    "" => format!("`{text}` has no unit"),
                    _ => format!("`{unit}` is not a unit of memory"),
                };
                return Err(ValueError::new(message).hint(format!("write `{amount}{meant}`")));
            }
        };
        // Far beyond any machine; small enough that the sum over all nodes cannot overflow.
        bytes
            .filter(|bytes| *bytes <= Self::gib(1 << 20).0)
            .map(Self)
            .ok_or_else(|| {
                ValueError::new(format!("`{text}` is more than any machine has"))
                    .hint("a node has some GiB")
            })
    }
}

impl Spelling for Memory {
    fn schema() -> Value {
        json!({"type": "string", "pattern": "^[0-9]+(MiB|GiB)$", "examples": ["2GiB", "512MiB"]})
    }
}

serde_as_spelt!(Memory, "an amount of memory");

/// How long something may take, to the millisecond; written `500ms`, `2s`, `1m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Limit(pub Duration);

impl Limit {
    /// The longest that a file may say. Longer than any wait in the program.
    const MAX: Self = Self::seconds(3600);

    /// So many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl fmt::Display for Limit {
    /// As it is written in the file; finer than a millisecond is dropped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_millis() {
            ms if ms % 1000 != 0 => write!(f, "{ms}ms"),
            ms if ms % 60_000 != 0 || ms == 0 => write!(f, "{}s", ms / 1000),
            ms => write!(f, "{}m", ms / 60_000),
        }
    }
}

impl FromStr for Limit {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let hint = "write a whole number and `ms`, `s` or `m`, such as `1500ms` or `2s`";
        let Some((amount, unit)) = split_unit(text) else {
            return Err(ValueError::new(format!("`{text}` is not a duration")).hint(hint));
        };
        let milliseconds = match unit {
            "ms" => Some(amount),
            "s" => amount.checked_mul(1000),
            "m" => amount.checked_mul(60_000),
            "" => {
                return Err(ValueError::new(format!("`{text}` has no unit"))
                    .hint(format!("write `{text}s` or `{text}ms`")));
            }
            _ => return Err(ValueError::new(format!("`{unit}` is not a unit of time")).hint(hint)),
        };
        milliseconds
            .map(|milliseconds| Self(Duration::from_millis(milliseconds)))
            .filter(|limit| *limit <= Self::MAX)
            .ok_or_else(|| {
                ValueError::new(format!("`{text}` is longer than an hour"))
                    .hint("a budget has at most `60m`")
            })
    }
}

impl Spelling for Limit {
    fn schema() -> Value {
        json!({"type": "string", "pattern": "^[0-9]+(ms|s|m)$", "examples": ["500ms", "2s", "1m"]})
    }
}

serde_as_spelt!(Limit, "a duration");

/// Splits `2GiB` into 2 and `GiB`; a blank before the unit stays with it, and a fraction is no number.
fn split_unit(text: &str) -> Option<(u64, &str)> {
    let (number, unit) = text.split_at(
        text.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len()),
    );
    let amount = number.parse().ok()?;
    (!unit.starts_with(['.', ','])).then_some((amount, unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_has_one_spelling() {
        assert_eq!("2GiB".parse(), Ok(Memory::gib(2)));
        assert_eq!("1700MiB".parse(), Ok(Memory::mib(1700)));
        for bad in [
            "",
            "2",
            "2Gi",
            "2G",
            "2GB",
            "2gib",
            "1.5GiB",
            "-2GiB",
            "2 GiB",
            "GiB",
            "99999999999GiB",
            "99999999999999999999GiB",
        ] {
            bad.parse::<Memory>().unwrap_err();
        }
    }

    #[test]
    fn memory_is_shown_in_the_largest_exact_unit() {
        for text in ["2GiB", "1700MiB", "0MiB", "1536MiB"] {
            assert_eq!(text.parse::<Memory>().unwrap().to_string(), text);
        }
        assert_eq!(Memory(1_600_000).to_string(), "1MiB");
    }

    #[test]
    fn durations_read_back() {
        for text in ["0s", "1ms", "500ms", "2s", "90s", "1m", "60m"] {
            assert_eq!(text.parse::<Limit>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            "2",
            "2h",
            "1.5s",
            "-1s",
            "2 s",
            "61m",
            "99999999999999999999s",
        ] {
            bad.parse::<Limit>().unwrap_err();
        }
    }

    #[test]
    fn case_words() {
        for good in ["1.35.4", "v1.35.4", "1.35", "v1.35"] {
            assert_eq!(good.parse(), Ok(KubernetesVersion::default()), "{good}");
        }
        for (bad, said) in [
            ("", "`` is not a version"),
            ("1.36.0", "version 1.36.0 is not supported"),
            ("v1.34", "version 1.34 is not supported"),
            ("1", "`1` is not a version"),
            ("latest", "`latest` is not a version"),
            ("1.35.4-rc.1", "`1.35.4-rc.1` is not a version"),
            ("01.35.4", "version 01.35.4 is not supported"),
            ("vv1.35.4", "`vv1.35.4` is not a version"),
        ] {
            let error = bad.parse::<KubernetesVersion>().unwrap_err();
            assert_eq!(error.to_string(), said);
        }
    }
}
