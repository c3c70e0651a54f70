//! A libvirt on another host, by its URI. Conservative: what is accepted here reaches `ssh` as it is.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use camino::Utf8Path;

use super::diagnostic::ValueError;
use super::suggest::{closest, list};

/// `qemu+ssh://[USER@]HOST[:PORT]/system[?QUERY]`: the libvirt of another host, reached by SSH.
#[derive(Clone, PartialEq, Eq)]
pub struct RemoteUri {
    text: String,
    user: Option<String>,
    host: String,
    port: Option<u16>,
    query: Vec<(Key, String)>,
}

/// A parameter of libvirt's URIs that regent knows to honour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    /// The program that stands in for `ssh`.
    Command,
    /// The private key.
    Keyfile,
    /// libvirt's socket there.
    Socket,
}

const KEYS: [(&str, Key); 3] = [
    ("command", Key::Command),
    ("keyfile", Key::Keyfile),
    ("socket", Key::Socket),
];

/// Where the socket is that a system's libvirt takes every kind of connection at.
const SOCKET: &str = "/run/libvirt/libvirt-sock";

/// How such a URI begins.
pub(super) const SCHEME: &str = "qemu+ssh";

/// The pattern of all that is accepted, for editors.
pub(super) const PATTERN: &str = r"qemu\+ssh://([A-Za-z0-9_][A-Za-z0-9_.-]*@)?([A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])(:[0-9]{1,5})?/system(\?[!-~]+)?";

impl RemoteUri {
    /// Who logs in there; none where SSH's configuration says.
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The host, as SSH takes it: a name of its configuration, a host name or an address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// SSH's port there; none where its configuration says.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// The private key; none where SSH's configuration or an agent has it.
    pub fn keyfile(&self) -> Option<&Utf8Path> {
        self.get(Key::Keyfile).map(Utf8Path::new)
    }

    /// The program that stands in for `ssh`.
    pub fn command(&self) -> Option<&Utf8Path> {
        self.get(Key::Command).map(Utf8Path::new)
    }

    /// libvirt's socket there.
    pub fn socket(&self) -> &Utf8Path {
        Utf8Path::new(self.get(Key::Socket).unwrap_or(SOCKET))
    }

    /// The URI as its user wrote it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    fn get(&self, wanted: Key) -> Option<&str> {
        let found = self.query.iter().find(|(key, _)| *key == wanted);
        found.map(|(_, value)| value.as_str())
    }
}

impl fmt::Display for RemoteUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl fmt::Debug for RemoteUri {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RemoteUri({})", self.text)
    }
}

impl FromStr for RemoteUri {
    type Err = ValueError;
    fn from_str(text: &str) -> Result<Self, ValueError> {
        let rest = text
            .strip_prefix(SCHEME)
            .and_then(|rest| rest.strip_prefix("://"))
            .ok_or_else(|| ValueError::new(format!("`{text}` is no libvirt on another host")))?;
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = match rest.find('/') {
            Some(slash) => rest.split_at(slash),
            None => (rest, ""),
        };
        let (user, place) = match authority.split_once('@') {
            Some((user, place)) => (Some(parse_user(user)?), place),
            None => (None, authority),
        };
        let (host, port) = parse_place(place)?;
        if path != "/system" {
            let wanted = format!("{SCHEME}://{authority}/system");
            let message = format!("`{path}` is not the system's libvirt there");
            return Err(ValueError::new(message).hint(format!("write `{wanted}`")));
        }
        Ok(Self {
            text: text.to_owned(),
            user,
            host,
            port,
            query: parse_query(query)?,
        })
    }
}

fn parse_user(user: &str) -> Result<String, ValueError> {
    if is_word(user, |byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Ok(user.to_owned());
    }
    let message = match user.contains(':') {
        // Not repeated: it would stand in a log.
        true => "there is a password before the host's name".to_owned(),
        false => format!("`{user}` is not a user's name"),
    };
    Err(ValueError::new(message).hint("SSH logs in with a key: write `root@` before the host"))
}

/// Reads `HOST[:PORT]`.
fn parse_place(place: &str) -> Result<(String, Option<u16>), ValueError> {
    let no_host = || {
        let message = match place {
            "" => "no host is named".to_owned(),
            place => format!("`{place}` is not a host's name"),
        };
        ValueError::new(message).hint(format!("write `{SCHEME}://root@HOST/system`"))
    };
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or_else(no_host)?;
            host.parse::<Ipv6Addr>().map_err(|_| no_host())?;
            (host, port)
        }
        None => {
            let end = place.find(':').unwrap_or(place.len());
            let (host, port) = place.split_at(end);
            if !is_word(host, |byte| byte.is_ascii_alphanumeric()) {
                return Err(no_host());
            }
            (host, port)
        }
    };
    let port = match port {
        "" => None,
        port => {
            let number = port.strip_prefix(':').and_then(|port| port.parse().ok());
            let number = number.filter(|number| *number != 0);
            Some(number.ok_or_else(|| {
                ValueError::new(format!("`{port}` is not a port"))
                    .hint("a port is a number from 1 to 65535, after a colon")
            })?)
        }
    };
    Ok((host.to_owned(), port))
}

fn parse_query(query: &str) -> Result<Vec<(Key, String)>, ValueError> {
    let mut known: Vec<(Key, String)> = Vec::new();
    for part in query.split('&').filter(|part| !part.is_empty()) {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let key = parse_key(name)?;
        if known.iter().any(|(other, _)| *other == key) {
            return Err(ValueError::new(format!("`{name}` stands there twice")));
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._+@=,~-".contains(&byte);
        if !value.starts_with('/') || !value.bytes().all(plain) {
            return Err(
                ValueError::new(format!("`{value}` does not do as `{name}`"))
                    .hint("write an absolute path of letters, digits and `/._+@=,~-`"),
            );
        }
        known.push((key, value.to_owned()));
    }
    Ok(known)
}

fn parse_key(name: &str) -> Result<Key, ValueError> {
    if let Some((_, key)) = KEYS.iter().find(|(known, _)| *known == name) {
        return Ok(*key);
    }
    if name == "no_verify" {
        return Err(ValueError::new("a host's key is always checked")
            .hint("log in there once with `ssh` and look at the key, which it then remembers"));
    }
    let names = KEYS.iter().map(|(name, _)| *name);
    let hint = match closest(name, names.clone()) {
        Some(name) => format!("did you mean `{name}`?"),
        None => format!("write {}", list(names, "or")),
    };
    Err(ValueError::new(format!("`{name}` is not a parameter that regent knows")).hint(hint))
}

/// Whether it is a word that no program takes for an option: `first` says how it may begin.
fn is_word(text: &str, first: impl Fn(u8) -> bool) -> bool {
    text.bytes().next().is_some_and(first)
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uri_is_taken_apart() {
        let text =
            "qemu+ssh://root@host-1.lab:2222/system?keyfile=/root/.ssh/lab&command=/usr/bin/ssh";
        let uri: RemoteUri = text.parse().unwrap();
        assert_eq!(
            (uri.user(), uri.host(), uri.port()),
            (Some("root"), "host-1.lab", Some(2222))
        );
        assert_eq!(uri.keyfile(), Some(Utf8Path::new("/root/.ssh/lab")));
        assert_eq!(uri.command(), Some(Utf8Path::new("/usr/bin/ssh")));
        assert_eq!(uri.as_str(), text);
        assert_eq!(uri.socket(), "/run/libvirt/libvirt-sock");

        let uri: RemoteUri = "qemu+ssh://[fd00::1]:22/system?socket=/run/x"
            .parse()
            .unwrap();
        assert_eq!(
            (uri.user(), uri.host(), uri.port()),
            (None, "fd00::1", Some(22))
        );
        assert_eq!(uri.socket(), "/run/x");
    }

    #[test]
    fn nothing_that_ssh_or_a_shell_could_misread_passes() {
        for text in [
            "qemu+ssh:///system",
            "qemu+ssh://host",
            "qemu+ssh://host/session",
            "qemu+ssh://host/system/",
            "qemu+ssh://-oProxyCommand=x/system",
            "qemu+ssh://-l@host/system",
            "qemu+ssh://root:secret@host/system",
            "qemu+ssh://ro ot@host/system",
            "qemu+ssh://host;id/system",
            "qemu+ssh://host:0/system",
            "qemu+ssh://host:65536/system",
            "qemu+ssh://host:/system",
            "qemu+ssh://[fd00::1/system",
            "qemu+ssh://[host]/system",
            "qemu+ssh://host/system?command=ssh",
            "qemu+ssh://host/system?command=/bin/a%20b",
            "qemu+ssh://host/system?keyfile=/a&keyfile=/b",
            "qemu+ssh://host/system?no_verify=1",
            "qemu+ssh://host/system?mode=legacy",
            "qemu+ssh://host/system?proxy=netcat",
            "lxc+ssh://host/system",
        ] {
            let error = text.parse::<RemoteUri>().unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
