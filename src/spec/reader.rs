//! Reads values out of a YAML tree and goes on after a mistake: a wrong value is reported and its default kept, a
//! misspelt key is reported and read as what it was meant to be, so that one look finds every mistake.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::diagnostic::{Mark, ValueError};
use super::rule::{Read, Reading, Rule};
use super::section::Key;
use super::suggest::{closest, list};
use super::types::{ROOT, sections};
use crate::yaml::{Node, Value};

/// What the file has of a section, by key; empty if it does not have the section.
#[derive(Debug)]
pub(super) struct Entries<'t> {
    name: &'static str,
    found: BTreeMap<&'static str, (&'t Node, &'t Node)>,
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
    pub(super) fn root<'t>(&mut self, node: &'t Node) -> Option<Entries<'t>> {
        match &node.value {
            Value::Mapping(entries) => {
                self.start = node.span.start;
                Some(self.entries("", ROOT.keys(), entries))
            }
            _ => {
                let error = ValueError::new("the file is not a list of `key: value` lines")
                    .hint("`regent init` writes a file to begin with");
                self.marks.push(error.at(node.span.clone()));
                None
            }
        }
    }

    /// Reads a key into `target`, if the file has it and it is right.
    pub(super) fn read<T>(
        &mut self,
        section: &Entries<'_>,
        key: &'static str,
        rule: Rule<T>,
        target: &mut T,
    ) {
        let entry = section.found.get(key).copied();
        if let (None, Some(hint)) = (entry, rule.what.required) {
            let error = ValueError::new(format!("`{key}` is missing")).hint(hint);
            self.marks.push(error.at(self.start..self.start));
        }
        match (rule.read, entry) {
            (Read::Value(read), Some(entry)) => {
                if let Some(value) = self.value(&path(section.name, key), entry, read) {
                    *target = value;
                }
            }
            (Read::Value(_), None) => {}
            (Read::Section(read), entry) => {
                let inner = self.open(key, rule.what.keys, entry.map(|(_, value)| value));
                read(target, self, &inner);
            }
        }
    }

    /// Opens a section. One that is absent or has no value is empty.
    fn open<'t>(
        &mut self,
        name: &'static str,
        keys: &'static [Key],
        node: Option<&'t Node>,
    ) -> Entries<'t> {
        match node.map(|node| (&node.value, &node.span)) {
            Some((Value::Mapping(entries), _)) => return self.entries(name, keys, entries),
            Some((value, span)) if !is_null(value) => {
                let error = ValueError::new(format!("`{name}` is a section, with keys of its own"));
                self.marks.push(error.hint(the_keys(keys)).at(span.clone()));
                let wrong = keys.iter().map(|key| path(name, key.name));
                self.positions.wrong.extend(wrong);
            }
            _ => {}
        }
        let found = BTreeMap::new();
        Entries { name, found }
    }

    fn value<T>(&mut self, path: &str, (key, node): (&Node, &Node), read: Reading<T>) -> Option<T> {
        let (result, span) = match is_null(&node.value) {
            true => {
                let error = ValueError::new("has no value")
                    .hint("write one; a key that has a default may also be left out");
                (Err(vec![(error, key.span.clone())]), &key.span)
            }
            false => (read(node), &node.span),
        };
        self.positions.given.insert(path.to_owned(), span.clone());
        match result {
            Ok(value) => Some(value),
            Err(wrong) => {
                let marks = wrong
                    .into_iter()
                    .map(|(error, span)| error.about(path).at(span));
                self.marks.extend(marks);
                self.positions.wrong.insert(path.to_owned());
                None
            }
        }
    }

    fn entries<'t>(
        &mut self,
        name: &'static str,
        keys: &'static [Key],
        entries: &'t [(Node, Node)],
    ) -> Entries<'t> {
        let known: Vec<_> = keys.iter().map(|key| key.name).collect();
        let mut found = BTreeMap::<&'static str, (&Node, &Node)>::new();
        let mut unknown = Vec::new();
        for (key, value) in entries {
            let Value::Scalar { text, .. } = &key.value else {
                let error = ValueError::new("a key must be a word").hint(the_keys(keys));
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
                error = error.hint(the_keys(keys));
                listed = true;
            }
            self.marks.push(error.at(key.span.clone()));
            if let Some(meant) = known.iter().find(|known| Some(**known) == meant) {
                found.entry(meant).or_insert((key, value));
            }
        }
        Entries { name, found }
    }
}

fn the_keys(keys: &[Key]) -> String {
    let names = list(keys.iter().map(|key| key.name), "and");
    format!("the keys here are {names}")
}

/// For a key that is right in another place, as after wrong indentation: that place.
fn belongs_elsewhere(key: &str) -> Option<String> {
    let places: Vec<_> = sections()
        .filter(|section| section.keys().iter().any(|own| own.name == key))
        .map(|section| section.name)
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

/// Whether it says nothing (YAML 1.2, core schema).
fn is_null(value: &Value) -> bool {
    let Value::Scalar { text, plain: true } = value else {
        return false;
    };
    matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL")
}
