//! Where Debian packages come from: an ordered list of mirrors.

use std::fs;
use std::path::Path;

use super::error::FetchError;

/// The variable that names mirrors: base URLs, in the order in which to ask them, separated by spaces.
const VARIABLE: &str = "REGENT_DEBIAN_MIRRORS";

/// Base URLs of Debian mirrors, in the order in which to ask them; never empty. A file's URL is the base, `/`,
/// and its path (`pool/main/…`); so a dated base of a snapshot service is a mirror like any other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirrors(Vec<String>);

impl Mirrors {
    /// Reads `REGENT_DEBIAN_MIRRORS`, else what the machine's own apt uses for the main archive.
    ///
    /// # Errors
    /// When neither names a mirror.
    pub fn of_this_machine() -> Result<Self, FetchError> {
        let named = std::env::var(VARIABLE).unwrap_or_default();
        let named: Vec<&str> = named.split_whitespace().collect();
        if named.is_empty() {
            Self::from_sources(&apt_sources())
        } else {
            Self::new(named)
        }
    }

    /// Mirrors by base URL.
    ///
    /// # Errors
    /// When there is none.
    pub fn new<'a>(bases: impl IntoIterator<Item = &'a str>) -> Result<Self, FetchError> {
        let mut mirrors: Vec<String> = Vec::new();
        for base in bases {
            let base = base.trim_end_matches('/').to_owned();
            if !mirrors.contains(&base) {
                mirrors.push(base);
            }
        }
        if mirrors.is_empty() {
            Err(FetchError::NoMirror)
        } else {
            Ok(Self(mirrors))
        }
    }

    /// The base URLs, in order.
    pub fn bases(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Takes the mirrors of the main archive from apt's sources: file name and content, in apt's order.
    fn from_sources(files: &[(String, String)]) -> Result<Self, FetchError> {
        let entries = files.iter().flat_map(|(name, text)| {
            if name.ends_with(".sources") {
                deb822(text)
            } else {
                one_line(text)
            }
        });
        let entries: Vec<Entry> = entries.filter(Entry::is_main_archive).collect();
        Self::new(entries.iter().map(|entry| entry.uri.as_str()))
    }
}

/// One place that packages come from, as apt's sources name it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Entry {
    uri: String,
    suites: Vec<String>,
    components: Vec<String>,
}

impl Entry {
    /// Whether this is the archive with the pool that releases are made from: Debian's own suites, without the
    /// archives of security updates and of other vendors.
    fn is_main_archive(&self) -> bool {
        const SUITES: &[&str] = &[
            "bookworm",
            "trixie",
            "forky",
            "sid",
            "oldstable",
            "stable",
            "testing",
            "unstable",
        ];
        let http = self.uri.starts_with("http://") || self.uri.starts_with("https://");
        let suite = self
            .suites
            .iter()
            .any(|suite| SUITES.contains(&suite.as_str()));
        // A vendor may name its suites like Debian's; the path is what mirrors have in common.
        let path = self
            .uri
            .trim_end_matches('/')
            .rsplit('/')
            .any(|part| part == "debian");
        http && suite && path && self.components.iter().any(|component| component == "main")
    }
}

fn apt_sources() -> Vec<(String, String)> {
    let directory = Path::new("/etc/apt/sources.list.d");
    let mut files: Vec<_> = fs::read_dir(directory)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    files.sort();
    files.insert(0, "/etc/apt/sources.list".into());
    let named = files
        .into_iter()
        .filter_map(|path| Some((path.to_str()?.to_owned(), fs::read_to_string(path).ok()?)));
    named
        .filter(|(name, _)| name.ends_with(".list") || name.ends_with(".sources"))
        .collect()
}

/// Parses `deb [option=value] URI SUITE COMPONENT…` lines.
fn one_line(text: &str) -> Vec<Entry> {
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default());
    lines
        .filter_map(|line| {
            let rest = line.trim().strip_prefix("deb ")?.trim_start();
            let rest = if rest.starts_with('[') {
                rest.split_once(']')?.1
            } else {
                rest
            };
            let mut words = rest.split_whitespace().map(str::to_owned);
            Some(Entry {
                uri: words.next()?,
                suites: vec![words.next()?],
                components: words.collect(),
            })
        })
        .collect()
}

/// Parses stanzas of `Field: value` lines, continued by lines that begin with a blank.
fn deb822(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    for stanza in lines.split(|line| line.trim().is_empty()) {
        let field = |name: &str| -> Vec<String> {
            let mut lines = stanza.iter().skip_while(|line| !field_is(line, name));
            let first = lines
                .next()
                .and_then(|line| line.split_once(':'))
                .map_or("", |(_, value)| value);
            let more = lines.take_while(|line| line.starts_with([' ', '\t']));
            std::iter::once(first)
                .chain(more.copied())
                .flat_map(str::split_whitespace)
                .map(str::to_owned)
                .collect()
        };
        let off = field("Enabled")
            .iter()
            .any(|value| value == "no" || value == "false");
        if off || !field("Types").iter().any(|kind| kind == "deb") {
            continue;
        }
        for uri in field("URIs") {
            entries.push(Entry {
                uri,
                suites: field("Suites"),
                components: field("Components"),
            });
        }
    }
    entries
}

fn field_is(line: &str, name: &str) -> bool {
    line.split_once(':')
        .is_some_and(|(field, _)| field.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mirrors(name: &str, text: &str) -> Vec<String> {
        Mirrors::from_sources(&[(name.to_owned(), text.to_owned())])
            .map(|mirrors| mirrors.0)
            .unwrap_or_default()
    }

    #[test]
    fn deb822_sources_give_the_main_archive() {
        let text = "\
Types: deb
# a comment
URIs: http://one.example/debian
 http://two.example/debian/
Suites: trixie trixie-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://one.example/debian-security
Suites: trixie-security
Components: main

Types: deb-src
URIs: http://source.example/debian
Suites: trixie
Components: main

Types: deb
Enabled: no
URIs: http://off.example/debian
Suites: trixie
Components: main
";
        assert_eq!(
            mirrors("debian.sources", text),
            ["http://one.example/debian", "http://two.example/debian"]
        );
    }

    #[test]
    fn one_line_sources_give_the_main_archive() {
        let text = "\
# deb http://commented.example/debian trixie main
deb [arch=amd64 signed-by=/k.gpg] https://one.example/debian/ bookworm main contrib # why
deb http://one.example/debian-security bookworm-security main
deb https://vendor.example/apt bookworm main
deb-src http://source.example/debian bookworm main
deb file:/srv/debian bookworm main
deb http://snapshot.example/archive/debian/20260101T000000Z trixie main
deb https://one.example/debian trixie main
";
        let expected = [
            "https://one.example/debian",
            "http://snapshot.example/archive/debian/20260101T000000Z",
        ];
        assert_eq!(mirrors("/etc/apt/sources.list", text), expected);
    }

    #[test]
    fn no_mirror_is_an_error() {
        assert!(matches!(Mirrors::new([]), Err(FetchError::NoMirror)));
        assert_eq!(
            mirrors("x.list", "deb http://vendor.example/apt stable main"),
            Vec::<String>::new()
        );
    }
}
