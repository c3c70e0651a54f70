//! The documents of a stream that others wrote, such as Kubernetes manifests: whatever YAML or JSON allows.

use serde_json::Value;

/// The most nodes of one document. The largest custom resource definitions in use have some 100 000.
const MAX_NODES: usize = 1_000_000;

/// A document that says something.
#[derive(Debug, Clone, PartialEq)]
pub struct Document<'t> {
    /// The line of the stream on which it begins, from 1.
    pub line: usize,
    /// What it says.
    pub value: Value,
    /// As it is written.
    pub text: &'t str,
}

/// Where a stream stops being YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotYaml {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong, in one line.
    pub message: String,
}

/// Reads every document that is not empty.
///
/// # Errors
/// At the first that is not YAML.
pub fn documents(text: &str) -> Result<Vec<Document<'_>>, NotYaml> {
    let mut found = Vec::new();
    for (before, text) in parts(text) {
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! { max_nodes: MAX_NODES },
        };
        let read = serde_saphyr::from_str_with_options::<Value>(text, options);
        let value = read.map_err(|error| {
            let line = error.location().map_or(1, |at| at.line());
            let message = error.to_string();
            NotYaml {
                line: before + usize::try_from(line).unwrap_or(1),
                message: message.lines().next().unwrap_or_default().to_owned(),
            }
        })?;
        if !value.is_null() {
            let empty = |line: &&str| {
                let line = line.trim();
                line.is_empty() || line.starts_with('#') || line.starts_with("---")
            };
            let line = before + text.lines().take_while(empty).count() + 1;
            found.push(Document { line, value, text });
        }
    }
    Ok(found)
}

/// The parts of a stream between its markers, each with the number of lines before it. A marker begins its part.
fn parts(text: &str) -> Vec<(usize, &str)> {
    let (mut parts, mut begin, mut before, mut at) = (Vec::new(), 0, 0, 0);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let marker = line.strip_prefix("---");
        if at > begin
            && marker.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\n', '\r']))
        {
            parts.push((before, &text[begin..at]));
            (begin, before) = (at, number);
        }
        at += line.len();
    }
    parts.push((before, &text[begin..]));
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_know_their_lines() {
        let text = "# first\n---\na: 1\n--- # second\n\n---\r\nb:\n  - |\n    ---\n    x\n---\n";
        let found = documents(text).unwrap();
        let lines: Vec<_> = found.iter().map(|document| document.line).collect();
        assert_eq!(lines, [3, 7]);
        assert_eq!(found[1].value["b"][0], "---\nx\n");
        assert_eq!(documents("").unwrap(), []);
        assert_eq!(documents("# nothing\n").unwrap(), []);
        // As ingress-nginx has them.
        let numbers = documents("data: {9000: \"default/app:80\"}\n").unwrap();
        assert_eq!(numbers[0].value["data"]["9000"], "default/app:80");
        let json = documents(r#"{"kind": "List", "items": []}"#).unwrap();
        assert_eq!(json[0].value["kind"], "List");
    }

    #[test]
    fn what_is_no_yaml_is_at_its_line() {
        let error = documents("a: 1\n---\nb: [\nc\n").unwrap_err();
        assert!(error.line >= 3, "{error:?}");
        documents("a: b: c\n").unwrap_err();
    }
}
