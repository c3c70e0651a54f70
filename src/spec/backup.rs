//! Values of the section `backup`.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use serde_json::{Value, json};

use super::diagnostic::ValueError;
use super::rule::{Rule, Spelling, serde_as_spelt};

/// Whom backups are encrypted to: the public half of an age key (X25519).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recipient(String);

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for Recipient {
    type Err = ValueError;
    /// Takes what age takes: Bech32 of 32 bytes with the prefix `age` (age-encryption.org/v1). A letter that is wrong shows
    /// here, and not when the first backup is due.
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let hint = "`age-keygen -o KEY` makes a key and prints its recipient, `age1…`; KEY is needed to read a backup";
        if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY") {
            let error = ValueError::new("this is the secret half of an age key");
            return Err(error.hint("write its recipient, `age1…`: `age-keygen -y KEY` prints it"));
        }
        let decoded = bech32::decode(text).ok();
        let whole = decoded.is_some_and(|(prefix, data)| {
            prefix.as_str() == "age" && data.len() == 32 && text.starts_with("age")
        });
        match whole {
            true => Ok(Self(text.to_owned())),
            false => Err(ValueError::new(format!("`{text}` is not an age recipient")).hint(hint)),
        }
    }
}

impl Spelling for Recipient {
    fn schema() -> Value {
        let example = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
        json!({"type": "string", "pattern": "^age1[02-9ac-hj-np-z]{58}$", "examples": [example]})
    }
}

serde_as_spelt!(Recipient, "an age recipient");

/// How often something happens, in whole minutes; written `30m`, `6h`, `1d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(u64);

impl Period {
    /// Every so many hours.
    pub(super) const fn hours(hours: u64) -> Self {
        Self(hours * 60)
    }

    /// How long it is.
    pub const fn duration(self) -> Duration {
        Duration::from_secs(self.0 * 60)
    }

    /// More seldom than monthly is no schedule.
    const MAX: u64 = 31 * 24 * 60;
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            minutes if minutes % (24 * 60) == 0 => write!(f, "{}d", minutes / (24 * 60)),
            minutes if minutes % 60 == 0 => write!(f, "{}h", minutes / 60),
            minutes => write!(f, "{minutes}m"),
        }
    }
}

impl FromStr for Period {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let wrong = || {
            ValueError::new(format!("`{text}` is not how often something happens"))
                .hint("write a whole number and `m`, `h` or `d`, such as `30m`, `6h` or `1d`: a minute to 31 days")
        };
        let number = text.trim_end_matches(['m', 'h', 'd']);
        let factor = match text.strip_prefix(number) {
            Some("m") => 1,
            Some("h") => 60,
            Some("d") => 24 * 60,
            _ => return Err(wrong()),
        };
        let digits = number.bytes().all(|byte| byte.is_ascii_digit());
        let minutes = number.parse::<u64>().ok().filter(|_| digits);
        minutes
            .and_then(|number| number.checked_mul(factor))
            .filter(|minutes| (1..=Self::MAX).contains(minutes))
            .map(Self)
            .ok_or_else(wrong)
    }
}

impl Spelling for Period {
    fn schema() -> Value {
        json!({"type": "string", "pattern": "^[0-9]+(m|h|d)$", "examples": ["30m", "6h", "1d"]})
    }
}

serde_as_spelt!(Period, "how often something happens");

/// A recipient.
pub(super) fn recipient() -> Rule<Option<Recipient>> {
    Rule::scalar(Recipient::schema(), |scalar| scalar.text.parse().map(Some))
}

/// A directory on nodes: absolute, and of names that a shell and systemd take as they are.
pub(super) fn on_nodes(example: &'static str) -> Rule<Utf8PathBuf> {
    let schema =
        json!({"type": "string", "pattern": "^(/[A-Za-z0-9._-]+)+$", "examples": [example]});
    Rule::scalar(schema, move |scalar| {
        let path = Utf8Path::new(scalar.text);
        let plain = |part: &str| {
            let takes = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            !part.is_empty() && part.bytes().all(takes)
        };
        let mut parts = path.components();
        let absolute = parts.next() == Some(Utf8Component::RootDir);
        let names: Vec<_> = parts.collect();
        let all = names
            .iter()
            .all(|part| matches!(part, Utf8Component::Normal(part) if plain(part)));
        match absolute && !names.is_empty() && all {
            true => Ok(path.components().collect()),
            false => Err(ValueError::new(format!(
                "`{}` is not a directory on a node",
                scalar.text
            ))
            .hint(format!(
                "write an absolute path of letters, digits, `.`, `_` and `-`, such as `{example}`"
            ))),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipients_are_checked_to_the_letter() {
        let good = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p";
        assert_eq!(good.parse::<Recipient>().unwrap().to_string(), good);
        for bad in [
            "",
            "age1",
            "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8q",
            "AGE1QL3Z7HJY54PW3HYWW5AYYFG7ZQGVC7W3J2ELW8ZMRJ2KG5SFN9AQMCAC8P",
            "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHsKLqeplhpW+uObz5dvMgjz1OxfM/XXUB+VHtZ6isGN",
            "$(reboot)",
        ] {
            bad.parse::<Recipient>().unwrap_err();
        }
        let secret = "AGE-SECRET-KEY-1QQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQQ";
        let error = secret.parse::<Recipient>().unwrap_err();
        assert!(
            !error.to_string().contains("SECRET-KEY-1"),
            "it is repeated"
        );
    }

    #[test]
    fn periods_read_back() {
        for text in ["1m", "30m", "6h", "1d", "31d", "90m"] {
            assert_eq!(text.parse::<Period>().unwrap().to_string(), text);
        }
        for bad in [
            "",
            "0m",
            "6",
            "6 h",
            "1w",
            "32d",
            "-1h",
            "1.5h",
            "6hh",
            "h",
            "99999999999999999999m",
        ] {
            bad.parse::<Period>().unwrap_err();
        }
    }
}
