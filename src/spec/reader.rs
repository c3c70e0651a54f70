//! Reads values out of a YAML tree and goes on after a mistake: a wrong value is reported and its default kept, a
//! misspelt key is reported and read as what it was meant to be, so that one look finds every mistake.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::Budgets;
use super::diagnostic::{Mark, ValueError};
use super::lists::Wrong;
use super::suggest::{closest, list};
use crate::yaml::{Node, Value};

/// The keys of each section, the top level first under the name ``, in the order of the reference.
pub(super) const SECTIONS: &[(&str, &[&str])] = &[
    (
        "",
        &[
            "apiVersion",
            "name",
            "kubernetes",
            "controlPlane",
            "workers",
            "loadBalancer",
            "network",
            "hypervisor",
            "certificates",
            "kubeadm",
            "images",
            "manifests",
            "budgets",
        ],
    ),
    (
        "controlPlane",
        &["count", "memory", "cpus", "labels", "taints"],
    ),
    ("workers", &["count", "memory", "cpus", "labels", "taints"]),
    ("loadBalancer", &["count", "memory", "cpus", "tuning"]),
    (
        "network",
        &["cidr", "podSubnet", "serviceSubnet", "extraSans"],
    ),
    ("hypervisor", &["driver", "connect"]),
    ("kubeadm", &["extraArgs", "patches"]),
    ("budgets", &Budgets::KEYS),
];

/// A single value as it is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scalar<'t> {
    /// Its text, escapes resolved.
    pub(super) text: &'t str,
    /// Whether it stands without quotes.
    pub(super) plain: bool,
}

/// A mapping whose keys are known; empty if the file does not have it.
#[derive(Debug)]
pub(super) struct Section<'t> {
    name: &'static str,
    entries: BTreeMap<&'static str, (&'t Node, &'t Node)>,
}

/// What has been found so far.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// Where the first key stands, in bytes: the place of what is missing.
    start: usize,
    pub(super) marks: Vec<Mark>,
    pub(super) positions: Positions,
}

/// Where values stand, by path: `name`, `network.cidr`.
#[derive(Debug, Default)]
pub(super) struct Positions {
    given: BTreeMap<String, Range<usize>>,
    wrong: BTreeSet<String>,
}

impl Positions {
    /// Where the value stands; none if it is a default.
    pub(super) fn of(&self, path: &str) -> Option<Range<usize>> {
        self.given.get(path).cloned()
    }

    /// Whether the value was reported as wrong, so that what stands in the spec is not the user's wish.
    pub(super) fn is_wrong(&self, path: &str) -> bool {
        self.wrong.contains(path)
    }
}

impl Reader {
    /// Opens the whole file as the top level.
    pub(super) fn root<'t>(&mut self, node: &'t Node) -> Option<Section<'t>> {
        match &node.value {
            Value::Mapping(entries) => {
                self.start = node.span.start;
                Some(self.section("", entries))
            }
            _ => {
                let error = ValueError::new("the file is not a list of `key: value` lines");
                self.marks.push(
                    error
                        .hint("`regent init` writes a file to begin with")
                        .at(node.span.clone()),
                );
                None
            }
        }
    }

    /// Opens the section `name` of the top level. One that is absent or has no value is empty.
    pub(super) fn open<'t>(&mut self, root: &Section<'t>, name: &'static str) -> Section<'t> {
        let mut section = Section {
            name,
            entries: BTreeMap::new(),
        };
        let Some((_, value)) = root.entries.get(name) else {
            return section;
        };
        match &value.value {
            Value::Mapping(entries) => section = self.section(name, entries),
            Value::Scalar { text, plain: true } if is_null(text) => {}
            _ => {
                let error = ValueError::new(format!("`{name}` is a section, with keys of its own"));
                self.marks
                    .push(error.hint(the_keys(name)).at(value.span.clone()));
                self.positions
                    .wrong
                    .extend(keys_of(name).iter().map(|key| path(name, key)));
            }
        }
        section
    }

    /// Reads one value into `target`, if the file has it and it is right.
    pub(super) fn value<T>(
        &mut self,
        section: &Section<'_>,
        key: &'static str,
        target: &mut T,
        parse: impl FnOnce(Scalar<'_>) -> Result<T, ValueError>,
    ) {
        let Some((name, node)) = section.entries.get(key) else {
            return;
        };
        let path = path(section.name, key);
        let (result, span) = match &node.value {
            Value::Scalar { text, plain: true } if is_null(text) => {
                let error = ValueError::new("has no value")
                    .hint("write one; a key that has a default may also be left out");
                (Err(error), name.span.clone())
            }
            Value::Scalar { text, plain } => (
                parse(Scalar {
                    text,
                    plain: *plain,
                }),
                node.span.clone(),
            ),
            Value::Sequence(_) => (
                Err(ValueError::new("must be a single value, not a list")),
                node.span.clone(),
            ),
            Value::Mapping(_) => (
                Err(ValueError::new("must be a single value, not a section")),
                node.span.clone(),
            ),
        };
        self.positions.given.insert(path.clone(), span.clone());
        match result {
            Ok(value) => *target = value,
            Err(error) => {
                self.marks.push(error.about(&path).at(span));
                self.positions.wrong.insert(path);
            }
        }
    }

    /// Reads a list or map into `target`, if the file has it and all of it is right.
    pub(super) fn tree<T>(
        &mut self,
        section: &Section<'_>,
        key: &'static str,
        target: &mut T,
        parse: impl FnOnce(&Node) -> Result<T, Wrong>,
    ) {
        let Some((_, node)) = section.entries.get(key) else {
            return;
        };
        let path = path(section.name, key);
        self.positions.given.insert(path.clone(), node.span.clone());
        match parse(node) {
            Ok(value) => *target = value,
            Err(wrong) => {
                let marks = wrong
                    .into_iter()
                    .map(|(error, span)| error.about(&path).at(span));
                self.marks.extend(marks);
                self.positions.wrong.insert(path);
            }
        }
    }

    /// Reports the absence of a key that has no default.
    pub(super) fn require(&mut self, root: &Section<'_>, key: &'static str, hint: &str) {
        if !root.entries.contains_key(key) {
            let error = ValueError::new(format!("`{key}` is missing")).hint(hint);
            self.marks.push(error.at(self.start..self.start));
        }
    }

    fn section<'t>(&mut self, name: &'static str, entries: &'t [(Node, Node)]) -> Section<'t> {
        let known = keys_of(name);
        let mut found = BTreeMap::<&'static str, (&Node, &Node)>::new();
        let mut unknown = Vec::new();
        for (key, value) in entries {
            let Value::Scalar { text, .. } = &key.value else {
                let error = ValueError::new("a key must be a word").hint(the_keys(name));
                self.marks.push(error.at(key.span.clone()));
                continue;
            };
            match known.iter().find(|known| *known == text) {
                None => unknown.push((text, key, value)),
                Some(known) => {
                    if let Some((first, _)) = found.get(known) {
                        let error =
                            ValueError::new(format!("`{}` is given twice", path(name, known)));
                        let mark = error.hint("keep one of the two").at(key.span.clone());
                        self.marks
                            .push(mark.label("again").related(first.span.clone(), "first"));
                    } else {
                        found.insert(known, (key, value));
                    }
                }
            }
        }
        let mut listed = false;
        for (text, key, value) in unknown {
            let place = if name.is_empty() {
                String::new()
            } else {
                format!(" in `{name}`")
            };
            let mut error = ValueError::new(format!("unknown key `{text}`{place}"));
            let meant = closest(text, known.iter().copied());
            if let Some(meant) = meant {
                error = error.hint(format!("did you mean `{meant}`?"));
            } else if let Some(place) = belongs_elsewhere(text) {
                error = error.hint(place);
            } else if !listed {
                // Once is enough.
                error = error.hint(the_keys(name));
                listed = true;
            }
            self.marks.push(error.at(key.span.clone()));
            if let Some(meant) = known.iter().find(|known| Some(**known) == meant) {
                found.entry(meant).or_insert((key, value));
            }
        }
        Section {
            name,
            entries: found,
        }
    }
}

fn keys_of(section: &str) -> &'static [&'static str] {
    SECTIONS
        .iter()
        .find(|(name, _)| *name == section)
        .map_or(&[], |(_, keys)| keys)
}

fn the_keys(section: &str) -> String {
    format!(
        "the keys here are {}",
        list(keys_of(section).iter().copied(), "and")
    )
}

/// For a key that is right in another place, as after wrong indentation: that place.
fn belongs_elsewhere(key: &str) -> Option<String> {
    let places: Vec<_> = SECTIONS
        .iter()
        .filter(|(_, keys)| keys.contains(&key))
        .map(|(name, _)| *name)
        .collect();
    match places.as_slice() {
        [] => None,
        [""] => Some(format!(
            "`{key}` belongs at the top level, without indentation"
        )),
        places => Some(format!(
            "`{key}` belongs in {}, indented",
            list(places.iter().copied(), "or")
        )),
    }
}

fn path(section: &str, key: &str) -> String {
    if section.is_empty() {
        key.to_owned()
    } else {
        format!("{section}.{key}")
    }
}

/// Whether a plain scalar says nothing (YAML 1.2, core schema).
fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}
