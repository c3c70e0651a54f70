//! Mistakes in `cluster.yaml`: where they stand, what is wrong, what would be right.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::Serialize;

/// What is wrong with a value, before its place in the file is known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ValueError {
    message: String,
    hint: Option<String>,
}

impl ValueError {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
        }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Puts the path of the value before the message.
    pub(super) fn about(mut self, path: &str) -> Self {
        self.message = format!("{path}: {}", self.message);
        self
    }

    pub(super) fn at(self, span: Range<usize>) -> Mark {
        Mark {
            severity: Severity::Error,
            error: self,
            span,
            label: None,
            related: None,
        }
    }
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used; the user should look at it.
    Warning,
}

/// A [`ValueError`] with its place in bytes.
#[derive(Debug)]
pub(super) struct Mark {
    severity: Severity,
    error: ValueError,
    span: Range<usize>,
    label: Option<String>,
    related: Option<(Range<usize>, String)>,
}

impl Mark {
    /// Makes it a warning.
    pub(super) fn warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    /// Puts words beside the marked text.
    pub(super) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = Some(label.into());
        self
    }

    /// Marks another place, with words.
    pub(super) fn related(mut self, span: Range<usize>, label: impl Into<String>) -> Self {
        self.related = Some((span, label.into()));
        self
    }
}

/// One mistake or warning. Displays as one line, `FILE:LINE:COLUMN: error: MESSAGE`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// The file's name, as it was given.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong, in one line.
    pub message: String,
    /// What would be right, if that can be said.
    pub hint: Option<String>,
    /// The marked bytes; always within the text.
    #[serde(skip)]
    pub span: Range<usize>,
    #[serde(skip)]
    label: Option<String>,
    #[serde(skip)]
    related: Option<(Range<usize>, String)>,
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            line,
            column,
            message,
            ..
        } = self;
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{file}:{line}:{column}: {severity}: {message}")
    }
}

/// What is to be said about one file, in the order of the file. Displays with snippets and hints, without colour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostics {
    file: String,
    text: String,
    items: Vec<Diagnostic>,
}

impl Diagnostics {
    pub(super) fn new(file: &str, text: &str, marks: Vec<Mark>) -> Self {
        let file = file.to_owned();
        let mut items: Vec<_> = marks
            .into_iter()
            .map(|mark| resolve(mark, &file, text))
            .collect();
        items.sort_by_key(|item| (item.span.start, item.severity));
        Self {
            file,
            text: text.into(),
            items,
        }
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// The diagnostics, in the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, Diagnostic> {
        self.items.iter()
    }

    /// How many of them are errors.
    pub fn errors(&self) -> usize {
        self.iter()
            .filter(|item| item.severity == Severity::Error)
            .count()
    }

    /// Shows every diagnostic with its snippet, an empty line between them; with ANSI colours if `colour`.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let shown: Vec<_> = self
            .iter()
            .map(|item| self.render_one(item, &renderer))
            .collect();
        shown.join("\n\n")
    }

    fn render_one(&self, item: &Diagnostic, renderer: &Renderer) -> String {
        let level = match item.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let primary = AnnotationKind::Primary
            .span(item.span.clone())
            .label(item.label.as_deref());
        let related = item.related.iter().map(|(span, label)| {
            AnnotationKind::Context
                .span(span.clone())
                .label(label.as_str())
        });
        let snippet = Snippet::source(without_secrets(&self.text))
            .path(self.file.as_str())
            .annotation(primary)
            .annotations(related);
        let mut group = level.primary_title(&*item.message).element(snippet);
        if let Some(hint) = &item.hint {
            group = group.element(Level::HELP.message(&**hint));
        }
        renderer.render(&[group])
    }
}

/// The text with the secret halves of age keys blacked out; everything else stands where it stood.
fn without_secrets(text: &str) -> String {
    const MARK: &str = "AGE-SECRET-KEY-";
    let mut parts = text.split(MARK);
    let mut shown = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|char: char| !char.is_ascii_alphanumeric());
        let (secret, rest) = part.split_at(end.unwrap_or(part.len()));
        shown.extend([MARK, &"*".repeat(secret.len()), rest]);
    }
    shown
}

impl<'d> IntoIterator for &'d Diagnostics {
    type Item = &'d Diagnostic;
    type IntoIter = std::slice::Iter<'d, Diagnostic>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}

impl Serialize for Diagnostics {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.items.serialize(serializer)
    }
}

fn resolve(mark: Mark, file: &str, text: &str) -> Diagnostic {
    let span = clip(mark.span, text);
    let before = &text[..span.start];
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Diagnostic {
        severity: mark.severity,
        file: file.to_owned(),
        line: before.matches('\n').count() + 1,
        column: before[line_start..].chars().count() + 1,
        message: printable(&mark.error.message),
        hint: mark.error.hint.as_deref().map(printable),
        span,
        label: mark.label,
        related: mark.related.map(|(span, label)| (clip(span, text), label)),
    }
}

/// Messages quote what stands in the file; a control character in it must not reach a terminal.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Cuts a span to its first line and to whole characters of the text: a snippet that marks a whole section says less
/// than one that marks its beginning.
fn clip(span: Range<usize>, text: &str) -> Range<usize> {
    let start = text.floor_char_boundary(span.start);
    let end = text.floor_char_boundary(span.end).max(start);
    let line = text[start..end]
        .split(['\n', '\r'])
        .next()
        .unwrap_or_default();
    start..start + line.trim_end().len()
}
