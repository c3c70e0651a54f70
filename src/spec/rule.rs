//! Rules: what values a key takes. A rule reads them, and says in the JSON Schema what they are.

use std::ops::{Range, RangeInclusive};
use std::str::FromStr;

use camino::{Utf8Component, Utf8Path, Utf8PathBuf};
use ipnet::Ipv4Net;
use serde_json::{Value, json};

use super::diagnostic::ValueError;
use super::reader::{Entries, Reader};
use super::section::{Key, Section};
use super::units::Memory;
use crate::name::{self, ClusterName, NameError};
use crate::yaml::{self, Node};

/// What is wrong, and where.
pub(super) type Wrong = Vec<(ValueError, Range<usize>)>;

/// What values a key takes.
pub(super) struct Rule<T> {
    /// What it says of them.
    pub(super) what: What,
    /// How they are read.
    pub(super) read: Read<T>,
}

/// What a rule says of its values without seeing one.
#[derive(Debug, Default)]
pub(super) struct What {
    /// Their JSON Schema.
    pub(super) schema: Value,
    /// A limit that JSON Schema cannot say, for the end of the key's description.
    pub(super) limit: Option<String>,
    /// The keys, if the value is a section.
    pub(super) keys: &'static [Key],
    /// Why the file must have the key, as a hint.
    pub(super) required: Option<&'static str>,
}

/// Reads a value from what stands at its key.
pub(super) type Reading<T> = Box<dyn Fn(&Node) -> Result<T, Wrong>>;

/// How values are read.
pub(super) enum Read<T> {
    /// At once.
    Value(Reading<T>),
    /// Key by key.
    Section(fn(&mut T, &mut Reader, &Entries<'_>)),
}

impl<T> Rule<T> {
    /// A value that `read` takes from what stands at the key.
    pub(super) fn new(schema: Value, read: impl Fn(&Node) -> Result<T, Wrong> + 'static) -> Self {
        let what = What {
            schema,
            ..What::default()
        };
        Self {
            what,
            read: Read::Value(Box::new(read)),
        }
    }

    /// A single value.
    pub(super) fn scalar(
        schema: Value,
        parse: impl Fn(Scalar<'_>) -> Result<T, ValueError> + 'static,
    ) -> Self {
        Self::new(schema, move |node| {
            let read = match &node.value {
                yaml::Value::Scalar { text, plain } => parse(Scalar {
                    text,
                    plain: *plain,
                }),
                yaml::Value::Sequence(_) => {
                    Err(ValueError::new("must be a single value, not a list"))
                }
                yaml::Value::Mapping(_) => {
                    Err(ValueError::new("must be a single value, not a section"))
                }
            };
            read.map_err(|error| vec![(error, node.span.clone())])
        })
    }

    /// The same of a key that the file must have.
    pub(super) fn required(mut self, hint: &'static str) -> Self {
        self.what.required = Some(hint);
        self
    }
}

/// A single value as it is written.
#[derive(Clone, Copy)]
pub(super) struct Scalar<'t> {
    /// Its text, escapes resolved.
    pub(super) text: &'t str,
    /// Whether it stands without quotes.
    plain: bool,
}

/// A section with keys of its own.
pub(super) fn nested<S: Section>() -> Rule<S> {
    let what = What {
        schema: json!({"type": "object", "additionalProperties": false}),
        keys: S::KEYS,
        ..What::default()
    };
    Rule {
        what,
        read: Read::Section(S::read),
    }
}

/// A value that is written as one word.
pub(super) trait Spelling: FromStr<Err = ValueError> {
    /// The JSON Schema of the words.
    fn schema() -> Value;
}

/// Every document has the type as it is spelt in the file.
macro_rules! serde_as_spelt {
    ($type:ident, $what:literal) => {
        impl serde::Serialize for $type {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let wrong = |_| serde::de::Error::custom(format_args!("`{text}` is not {}", $what));
                text.parse().map_err(wrong)
            }
        }
    };
}
pub(super) use serde_as_spelt;

/// A word of the type.
pub(super) fn word<T: Spelling>() -> Rule<T> {
    Rule::scalar(T::schema(), |scalar| scalar.text.parse())
}

/// An amount of memory that is not less.
pub(super) fn at_least(least: Memory) -> Rule<Memory> {
    let mut rule = Rule::scalar(Memory::schema(), move |scalar| {
        let memory: Memory = scalar.text.parse()?;
        if memory < least {
            let error = ValueError::new(format!("{memory} is too little for such a node"));
            return Err(error.hint(format!("write at least `{least}`")));
        }
        Ok(memory)
    });
    rule.what.limit = Some(format!("at least {least}"));
    rule
}

/// A whole number.
pub(super) fn whole(allowed: RangeInclusive<u8>) -> Rule<u8> {
    Rule::scalar(number_schema(&allowed), move |scalar| {
        number(scalar, &allowed)
    })
}

/// How many load balancers there are.
pub(super) fn one_load_balancer() -> Rule<u8> {
    Rule::scalar(number_schema(&(1..=1)), |scalar| {
        let error = match number(scalar, &(0..=u8::MAX)) {
            Ok(1) => return Ok(1),
            Ok(0) => ValueError::new("there is always a load balancer"),
            Ok(_) => ValueError::new("more than one load balancer is not supported yet"),
            Err(error) => error,
        };
        Err(error.hint("write 1"))
    })
}

fn number_schema(allowed: &RangeInclusive<u8>) -> Value {
    json!({"type": "integer", "format": "uint8", "minimum": allowed.start(), "maximum": allowed.end()})
}

fn number(scalar: Scalar<'_>, allowed: &RangeInclusive<u8>) -> Result<u8, ValueError> {
    let Scalar { text, plain } = scalar;
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let hint = format!(
        "write a whole number from {} to {}",
        allowed.start(),
        allowed.end()
    );
    if !digits || (text.len() > 1 && text.starts_with('0')) {
        return Err(ValueError::new(format!("`{text}` is not a whole number")).hint(hint));
    }
    if !plain {
        return Err(ValueError::new(format!("`{text}` in quotes is text"))
            .hint(format!("write {text} without quotes")));
    }
    text.parse()
        .ok()
        .filter(|number| allowed.contains(number))
        .ok_or_else(|| ValueError::new(format!("{text} is out of range")).hint(hint))
}

/// A cluster's name.
pub(super) fn cluster_name() -> Rule<ClusterName> {
    let schema = json!({
        "type": "string",
        "pattern": name::PATTERN,
        "maxLength": ClusterName::MAX_LENGTH,
        "examples": ["demo"],
    });
    Rule::scalar(schema, |Scalar { text, plain }| {
        if plain && matches!(text, "true" | "false") {
            let error = ValueError::new(format!("`{text}` is a boolean, not a name"));
            return Err(error.hint("put it into quotes if that is the name"));
        }
        text.parse().map_err(|error: NameError| {
            let similar = text
                .to_lowercase()
                .replace(|c: char| !c.is_ascii_alphanumeric(), "-");
            let similar = similar.trim_matches('-');
            let hint = match similar.parse::<ClusterName>() {
                Ok(similar) if text.is_ascii() => {
                    format!("host names are made of it: `{similar}` would do")
                }
                _ => "host names are made of it: `demo`, `ha-1`".to_owned(),
            };
            ValueError::new(error.to_string()).hint(hint)
        })
    })
}

/// A range of IPv4 addresses.
pub(super) fn ipv4_range() -> Rule<Ipv4Net> {
    let schema = json!({
        "type": "string",
        "pattern": r"^([0-9]{1,3}\.){3}[0-9]{1,3}/[0-9]{1,2}$",
        "examples": ["10.0.0.0/16"],
    });
    Rule::scalar(schema, |scalar| parse_range(scalar.text))
}

fn parse_range(text: &str) -> Result<Ipv4Net, ValueError> {
    let error = || ValueError::new(format!("`{text}` is not an IPv4 range"));
    let (address, prefix) = text.split_once('/').unwrap_or((text, ""));
    if address.parse::<std::net::Ipv6Addr>().is_ok() {
        return Err(error().hint("IPv6 is not supported yet"));
    }
    if address.parse::<std::net::Ipv4Addr>().is_err() {
        return Err(error().hint("write an address and a prefix length, such as `198.18.0.0/24`"));
    }
    if prefix.is_empty() {
        return Err(error().hint(format!("add the prefix length, such as `{address}/24`")));
    }
    let range: Ipv4Net = text
        .parse()
        .map_err(|_| error().hint("a prefix length is a number from 0 to 32"))?;
    if range != range.trunc() {
        let error = ValueError::new(format!(
            "`{text}` is an address within a range, not the range"
        ));
        return Err(error.hint(format!("the range is `{}`", range.trunc())));
    }
    Ok(range)
}

/// A directory of its own beside the file, of what `of` says.
pub(super) fn directory(of: &'static str) -> Rule<Option<Utf8PathBuf>> {
    let schema = json!({"type": "string", "minLength": 1, "examples": [of]});
    Rule::scalar(schema, move |scalar| {
        parse_directory(scalar.text, of).map(Some)
    })
}

fn parse_directory(text: &str, of: &str) -> Result<Utf8PathBuf, ValueError> {
    if text.is_empty() || text.contains(char::is_control) {
        return Err(ValueError::new("this is not a directory's path")
            .hint("write a path relative to this file"));
    }
    if text.contains("://") || text.starts_with("git@") {
        return Err(ValueError::new(format!("a URL is not a directory of {of}"))
            .hint("fetch them into a directory beside this file, and name that"));
    }
    let mut parts = Utf8Path::new(text).components();
    if parts.all(|part| part == Utf8Component::CurDir) {
        let error = ValueError::new("this is the directory of the cluster's file itself");
        return Err(error.hint(format!(
            "give {of} a directory of their own, such as `{of}`"
        )));
    }
    Ok(text.into())
}
