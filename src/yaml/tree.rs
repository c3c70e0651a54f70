//! YAML as a tree of nodes that know where they stand, for files that people write: whoever reads one can report
//! every mistake at its place, and not only the first.

use std::ops::Range;

use serde_saphyr::granit_parser::{self, Event, Parser, ScalarStyle, Span};

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
}

/// Reads a text of at most one document; `None` if it has none. Anchors, aliases and tags are refused: they let a
/// short file mean something else, or something huge.
pub fn parse(text: &str) -> Result<Option<Node>, SyntaxError> {
    let options = granit_parser::options! {
        emit_comments: false,
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
                        "a second document begins here, there may be only one",
                        span,
                    ));
                }
                Event::StreamStart
                | Event::StreamEnd
                | Event::DocumentStart(..)
                | Event::DocumentEnd => {}
                event => root = Some(self.node(event, span)?),
            }
        }
        Ok(root)
    }

    /// Builds the node that begins with `event`.
    fn node(&mut self, event: Event<'t>, span: Range<usize>) -> Result<Node, SyntaxError> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(wrong(
                format!("the file has more than {MAX_NODES} values"),
                span,
            ));
        }
        match event {
            Event::Scalar(_, _, anchor, ref tag)
            | Event::SequenceStart(_, anchor, ref tag)
            | Event::MappingStart(_, anchor, ref tag)
                if anchor != 0 || tag.is_some() =>
            {
                Err(wrong(
                    "anchors (`&name`) and tags (`!name`) have no meaning here",
                    span,
                ))
            }
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
                    match self.next_or_end(&span)? {
                        (Event::SequenceEnd, end) => break end,
                        (event, span) => items.push(self.node(event, span)?),
                    }
                };
                Ok(Node {
                    span: span.start..end.end.max(span.start),
                    value: Value::Sequence(items),
                })
            }
            Event::MappingStart(..) => {
                let mut entries = Vec::new();
                let end = loop {
                    match self.next_or_end(&span)? {
                        (Event::MappingEnd, end) => break end,
                        (event, key) => {
                            let key = self.node(event, key)?;
                            let (event, value) = self.next_or_end(&span)?;
                            entries.push((key, self.node(event, value)?));
                        }
                    }
                };
                Ok(Node {
                    span: span.start..end.end.max(span.start),
                    value: Value::Mapping(entries),
                })
            }
            _ => Err(wrong("aliases (`*name`) have no meaning here", span)),
        }
    }

    fn next(&mut self) -> Result<Option<(Event<'t>, Range<usize>)>, SyntaxError> {
        match self.events.next() {
            None => Ok(None),
            Some(Ok((event, span))) => Ok(Some((event, span.byte_range().unwrap_or_default()))),
            Some(Err(error)) => {
                let at = error
                    .marker()
                    .byte_offset()
                    .unwrap_or_default()
                    .min(self.text.len());
                Err(wrong(error.kind().to_string(), at..at))
            }
        }
    }

    /// The next event within a collection that began at `start`; the parser always ends what it began.
    fn next_or_end(
        &mut self,
        start: &Range<usize>,
    ) -> Result<(Event<'t>, Range<usize>), SyntaxError> {
        self.next()?
            .ok_or_else(|| wrong("this has no end", start.clone()))
    }
}

fn wrong(message: impl Into<String>, span: Range<usize>) -> SyntaxError {
    SyntaxError {
        message: message.into(),
        span,
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
