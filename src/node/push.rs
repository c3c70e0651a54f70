//! Files put on a node, each atomically, all in one go.

use camino::Utf8PathBuf;

use super::command::quote;
use super::{Command, Node, NodeError};
use crate::sha256::Sha256;

/// A file to put on a node. Owner and group root.
#[derive(Clone, PartialEq, Eq)]
pub struct NodeFile {
    /// Absolute path; missing directories are made.
    pub path: Utf8PathBuf,
    /// Permission bits.
    pub mode: u32,
    /// Content.
    pub content: Vec<u8>,
}

impl std::fmt::Debug for NodeFile {
    // Not the content: it may be a secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            path,
            mode,
            content,
        } = self;
        write!(f, "NodeFile({path}, {mode:o}, {} bytes)", content.len())
    }
}

/// Arguments: path, mode, size and SHA-256 of each file; standard input: their contents, one after the other.
///
/// First every file arrives under a temporary name in its own directory, readable by root only until its mode is
/// set, and all hashes are compared; only then are those that differ synced, renamed and their directories synced.
/// So nothing changes unless everything arrived, and a file is never seen half written.
pub(super) const RECEIVE: &str = r#"
umask 077
arrived=
trap 'rm -f -- $arrived' EXIT
changed=
directories=
sums=
next() {
  path=$1 mode=$2 size=$3 sum=$4
  directory=${path%/*}/
  new=$directory.${path##*/}.regent-$$
}
each() {
  action=$1; shift
  while [ $# -gt 0 ]; do next "$@"; shift 4; $action; done
}
receive() {
  [ -d "$directory" ] || (umask 022; mkdir -p -- "$directory")
  arrived="$arrived $new"
  head -c "$size" >"$new"
  chmod "$mode" "$new"
  sums="$sums$sum  $new
"
}
compare() {
  if [ -f "$path" ] && [ ! -L "$path" ] && cmp -s -- "$new" "$path" &&
    [ "$(stat -c %a:%u:%g -- "$path")" = "$(stat -c %a:%u:%g -- "$new")" ]; then return; fi
  changed="$changed $new"
  directories="$directories $directory"
}
rename() {
  case " $changed " in *" $new "*) mv -fT -- "$new" "$path" ;; esac
}
each receive "$@"
printf %s "$sums" | sha256sum --check --strict --quiet -
each compare "$@"
[ -n "$changed" ] || exit 0
sync -- $changed
each rename "$@"
sync -- $directories
"#;

impl Node {
    /// Puts files on the node in one go, each atomically (temporary name, fsync, rename) with its mode from the
    /// start, after comparing their SHA-256 there. Files that already have that content, mode and owner are left
    /// alone. Paths are absolute and made of letters, digits and `-_./:=@%+,`.
    pub async fn push(&self, files: &[NodeFile]) -> Result<(), NodeError> {
        if files.is_empty() {
            return Ok(());
        }
        let mut line = format!("sh -eu -c {} push", quote(RECEIVE));
        let mut content = Vec::new();
        for file in files {
            let path = file.path.as_str();
            // A path that needs no quoting cannot be split by the script either.
            if !path.starts_with('/') || path.ends_with('/') || quote(path) != path {
                return Err(NodeError::Path {
                    node: self.name().clone(),
                    path: file.path.clone(),
                });
            }
            let (mode, size, sum) = (file.mode, file.content.len(), Sha256::of(&file.content));
            line.push_str(&format!(" {path} {mode:o} {size} {sum}"));
            content.extend_from_slice(&file.content);
        }
        let title = match files {
            [file] => format!("push {}", file.path),
            [file, others @ ..] => format!("push {} and {} more", file.path, others.len()),
            [] => return Ok(()),
        };
        Command::new(self.clone(), &title, line, content)
            .run()
            .await?;
        Ok(())
    }
}
