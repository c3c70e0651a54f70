//! Sections of `cluster.yaml`. Each is declared once, by [`section!`]: its keys, and of each the meaning, the type, the
//! default and the rule.

use serde_json::{Map, Value, json};

use super::reader::{Entries, Reader};
use super::rule::What;

/// Declares a section: the public struct, how it is read, and what [`Key`]s it has.
///
/// A key is `field "key": Type = default, rule;`, and is the field's name in camel case. The doc comment is also its
/// description in the JSON Schema and in `docs/cluster-yaml.md`, and the [`Rule`](super::rule::Rule) reads it. After the
/// rule there may be:
/// - `omit "function"`: for a value of which the function says true, the serialized spec and the schema name none;
/// - `from |spec| value`: the default is this, made of what was read for the keys above it.
///
/// `Section::function(argument: Type)` before the keys names the function that gives a section of which the file says
/// nothing; the defaults are made of the argument, if there is one.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        $(#[derive($($derive:ident),+)])?
        $Section:ident::$new:ident($($given:ident: $Given:ty)?) {
            $(
                $(#[doc = $doc:literal])+
                $field:ident $key:literal: $Type:ty = $default:expr, $rule:expr
                $(, omit $empty:literal)?
                $(, from |$read:ident| $late:expr)?;
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
        $(#[derive($($derive),+)])?
        #[serde(rename_all = "camelCase")]
        pub struct $Section {
            $(
                $(#[doc = $doc])+
                $(#[serde(skip_serializing_if = $empty)])?
                pub $field: $Type,
            )+
        }

        impl $Section {
            /// What there is if the file says nothing of it.
            pub fn $new($($given: $Given)?) -> Self {
                Self { $($field: $default),+ }
            }
        }

        impl $crate::spec::section::Section for $Section {
            const ABOUT: &'static [&'static str] = &[$($about),+];

            const KEYS: &'static [$crate::spec::section::Key] = &[$(
                $crate::spec::section::Key {
                    name: $key,
                    doc: &[$($doc),+],
                    what: || {
                        let rule: $crate::spec::rule::Rule<$Type> = $rule;
                        rule.what
                    },
                }
            ),+];

            fn read(
                &mut self,
                reader: &mut $crate::spec::reader::Reader,
                section: &$crate::spec::reader::Entries<'_>,
            ) {
                $(
                    $(
                        let $read = &*self;
                        self.$field = $late;
                    )?
                    reader.read(section, $key, $rule, &mut self.$field);
                )+
            }
        }
    };
}
pub(super) use section;

/// What [`section!`] makes of a section.
pub(super) trait Section {
    /// Its doc comment, by lines.
    const ABOUT: &'static [&'static str];

    /// Its keys, in the order of the reference.
    const KEYS: &'static [Key];

    /// Puts what the file says in the place of the defaults.
    fn read(&mut self, reader: &mut Reader, section: &Entries<'_>);
}

/// What is known of a key without a file.
#[derive(Debug)]
pub(super) struct Key {
    /// Its name in the file.
    pub(super) name: &'static str,
    /// Its doc comment, by lines.
    pub(super) doc: &'static [&'static str],
    /// What its rule says of its values.
    pub(super) what: fn() -> What,
}

impl Key {
    /// The keys below it; none if it is no section.
    pub(super) fn keys(&self) -> &'static [Self] {
        (self.what)().keys
    }

    /// Its JSON Schema. `default` is its value in a spec that has only defaults; none if the spec then says none.
    pub(super) fn schema(&self, default: Option<&Value>) -> Value {
        let what = (self.what)();
        let mut schema = what.schema;
        let lines: Vec<_> = self.doc.iter().map(|line| line.trim()).collect();
        let mut description = lines.join("\n");
        if let Some(limit) = what.limit {
            description = format!("{}, {limit}.", description.trim_end_matches('.'));
        }
        schema["description"] = description.into();
        if let (Some(default), None) = (default, what.required) {
            schema["default"] = default.clone();
        }
        if !what.keys.is_empty() {
            schema["properties"] = properties(what.keys, default);
            let required = what
                .keys
                .iter()
                .filter(|key| (key.what)().required.is_some());
            let required: Vec<_> = required.map(|key| key.name).collect();
            if !required.is_empty() {
                schema["required"] = json!(required);
            }
        }
        schema
    }
}

fn properties(keys: &[Key], defaults: Option<&Value>) -> Value {
    let schemas = keys.iter().map(|key| {
        let default = defaults.and_then(|defaults| defaults.get(key.name));
        (key.name.to_owned(), key.schema(default))
    });
    Value::Object(schemas.collect::<Map<_, _>>())
}
