//! YAML as a tree of nodes that know where they stand, for files that people write: whoever reads one can report
//! every mistake at its place, and not only the first.

use std::ops::Range;

use serde_saphyr::granit_parser::{self, ErrorKind, Event, Parser, ScalarStyle, Span};

use super::MAX_NODES;

/// How deep collections may nest. `cluster.yaml` needs two levels; the tree is built by recursion.
const MAX_DEPTH: usize = 32;

/// A value and the bytes of the text that it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Where it stands, in bytes. A block collection may reach past its last line.
    pub span: Range<usize>,
    /// What it is.
    pub value: Value,
}

/// What a node holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text, number, boolean or nothing; as it is written, escapes resolved.
    Scalar {
        /// The text.
        text: String,
        /// Whether it stands without quotes.
        plain: bool,
    },
    /// A list.
    Sequence(Vec<Node>),
    /// Keys and values in the order of the file. A key may occur twice.
    Mapping(Vec<(Node, Node)>),
}

/// Where a text stops being YAML that regent reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SyntaxError {
    /// What is wrong.
    pub message: String,
    /// The offending bytes; may be empty.
    pub span: Range<usize>,
    /// What to do about it.
    pub hint: &'static str,
}

/// Reads a text of at most one document; `None` if it has none. Anchors, aliases and tags are refused: they let a
/// short file mean something else, or something huge.
pub fn parse(text: &str) -> Result<Option<Node>, SyntaxError> {
    let options = granit_parser::options! {
        emit_comments: false,
        emit_anchor_events: true,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    let mut builder = Builder {
        events: Parser::new_from_str_with_options(text, options),
        text,
        nodes: 0,
    };
    builder.stream()
}

struct Builder<'t, P> {
    events: P,
    text: &'t str,
    nodes: usize,
}

impl<'t, P> Builder<'t, P>
where
    P: Iterator<Item = Result<(Event<'t>, Span), granit_parser::ScanError>>,
{
    fn stream(&mut self) -> Result<Option<Node>, SyntaxError> {
        let mut root = None;
        while let Some((event, span)) = self.next()? {
            match event {
                Event::DocumentStart(..) if root.is_some() => {
                    return Err(wrong(
                        "a second document begins here",
                        span.byte_range(),
                        "one file is one document",
                    ));
                }
                Event::StreamStart
                | Event::StreamEnd
                | Event::DocumentStart(..)
                | Event::DocumentEnd => {}
                event => root = Some(self.node(event, &span)?),
            }
        }
        Ok(root)
    }

    /// Builds the node that begins with `event`.
    fn node(&mut self, event: Event<'t>, at: &Span) -> Result<Node, SyntaxError> {
        let span = at.byte_range().unwrap_or_default();
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(wrong(
                format!("the file has more than {MAX_NODES} values"),
                Some(span),
                "is it the right file?",
            ));
        }
        if let Some(tag) = at.tag_span() {
            return Err(wrong(
                "a tag (`!name`) has no meaning here",
                tag.byte_range(),
                "leave it out",
            ));
        }
        match event {
            Event::Scalar(text, style, ..) => Ok(Node {
                span,
                value: Value::Scalar {
                    text: text.into_owned(),
                    plain: style == ScalarStyle::Plain,
                },
            }),
            Event::SequenceStart(..) => {
                let mut items = Vec::new();
                let end = loop {
                    match self.next_of(at)? {
                        (Event::SequenceEnd, end) => break end,
                        (event, item) => items.push(self.node(event, &item)?),
                    }
                };
                Ok(Node {
                    span: span.start..end.byte_range().unwrap_or_default().end.max(span.end),
                    value: Value::Sequence(items),
                })
            }
            Event::MappingStart(..) => {
                let mut entries = Vec::new();
                let end = loop {
                    match self.next_of(at)? {
                        (Event::MappingEnd, end) => break end,
                        (event, key) => {
                            let key = self.node(event, &key)?;
                            let (event, value) = self.next_of(at)?;
                            entries.push((key, self.node(event, &value)?));
                        }
                    }
                };
                Ok(Node {
                    span: span.start..end.byte_range().unwrap_or_default().end.max(span.end),
                    value: Value::Mapping(entries),
                })
            }
            Event::Anchor(..) => Err(wrong(
                "an anchor (`&name`) has no meaning here",
                Some(span),
                "leave it out",
            )),
            _ => Err(wrong(
                "an alias (`*name`) has no meaning here",
                Some(span),
                "write the value out",
            )),
        }
    }

    fn next(&mut self) -> Result<Option<(Event<'t>, Span)>, SyntaxError> {
        self.events.next().transpose().map_err(|error| {
            let at = error.marker().byte_offset().unwrap_or_default();
            let before = &self.text[..self.text.floor_char_boundary(at)];
            wrong(
                error.kind().to_string(),
                Some(at..at),
                hint(error.kind(), before),
            )
        })
    }

    /// The next event within a collection; the parser always ends what it began.
    fn next_of(&mut self, collection: &Span) -> Result<(Event<'t>, Span), SyntaxError> {
        self.next()?.ok_or_else(|| {
            wrong(
                "this has no end",
                collection.byte_range(),
                "is the file cut off?",
            )
        })
    }
}

/// What usually is behind an error of the parser, where the text before it does not say so itself.
fn hint(kind: &ErrorKind, before: &str) -> &'static str {
    let line = before.rsplit('\n').next().unwrap_or_default();
    if line.contains('\t') {
        return "YAML is indented with spaces, never with tabs";
    }
    match kind {
        ErrorKind::SimpleKeyExpected => "a key ends with a colon and a blank, as in `name: demo`",
        ErrorKind::ExpectedBlockMappingKey | ErrorKind::InvalidIndentation => {
            "the keys of one section begin in the same column"
        }
        ErrorKind::ExpectedFlowMappingSeparator | ErrorKind::ExpectedFlowSequenceSeparator => {
            "a `{` or `[` before this has no end, or a comma is missing"
        }
        ErrorKind::UnclosedQuotedScalar => "the text that begins here has no closing quote",
        ErrorKind::UnknownAnchor => "write the value out; aliases have no meaning here",
        _ => "this is not YAML; other mistakes show once it is mended",
    }
}

fn wrong(
    message: impl Into<String>,
    span: Option<Range<usize>>,
    hint: &'static str,
) -> SyntaxError {
    SyntaxError {
        message: message.into(),
        span: span.unwrap_or_default(),
        hint,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_node_knows_its_bytes() {
        let text = "# é\nname: \"demo\"\nworkers: {count: 2}\n";
        let Value::Mapping(entries) = parse(text).unwrap().unwrap().value else {
            panic!("not a mapping");
        };
        let (key, value) = &entries[0];
        assert_eq!(
            (&text[key.span.clone()], &text[value.span.clone()]),
            ("name", "\"demo\"")
        );
        let (key, value) = &entries[1];
        assert_eq!(
            (&text[key.span.clone()], &text[value.span.clone()]),
            ("workers", "{count: 2}")
        );
    }

    #[test]
    fn duplicate_keys_are_kept() {
        let Value::Mapping(entries) = parse("a: 1\na: 2\n").unwrap().unwrap().value else {
            panic!("not a mapping");
        };
        assert_eq!(entries.len(), 2);
    }

    #[test]
    fn what_could_surprise_is_refused() {
        for text in [
            "a: &x 1\n",
            "a: &x 1\nb: *x\n",
            "a: !!str 1\n",
            "a: 1\n---\nb: 2\n",
            "a: [\n",
            "a:\n\tb: 1\n",
            "a: b: c\n",
        ] {
            parse(text).unwrap_err();
        }
        parse(&"[".repeat(MAX_DEPTH + 1)).unwrap_err();
        parse(&format!("[{}]", "a,".repeat(MAX_NODES))).unwrap_err();
    }

    #[test]
    fn an_empty_text_is_no_document() {
        for text in ["", "\n", "# only a comment\n"] {
            assert_eq!(parse(text).unwrap(), None);
        }
    }
}
