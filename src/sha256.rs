//! SHA-256, as a value and as a stream; hexadecimal digits.

use std::fmt;
use std::io;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::Digest;

/// A SHA-256 digest; displays, parses and serialises as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sha256([u8; 32]);

/// Why a string is not a SHA-256 digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a sha256 digest: 64 lower-case hexadecimal digits")]
pub struct Sha256Error(String);

/// Returns bytes as lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Sha256 {
    /// Returns the digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// Returns the digest's 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256({self})")
    }
}

impl FromStr for Sha256 {
    type Err = Sha256Error;
    fn from_str(text: &str) -> Result<Self, Sha256Error> {
        let digit = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let wrong = || Sha256Error(text.to_owned());
        let digits: Vec<u8> = text
            .bytes()
            .map(digit)
            .collect::<Option<_>>()
            .ok_or_else(wrong)?;
        let bytes: Vec<u8> = digits
            .chunks(2)
            .map(|pair| pair.iter().fold(0, |value, digit| value << 4 | digit))
            .collect();
        if digits.len() != 64 {
            return Err(wrong());
        }
        bytes.try_into().map(Self).map_err(|_| wrong())
    }
}

impl TryFrom<String> for Sha256 {
    type Error = Sha256Error;
    fn try_from(text: String) -> Result<Self, Sha256Error> {
        text.parse()
    }
}

impl From<Sha256> for String {
    fn from(digest: Sha256) -> Self {
        digest.to_string()
    }
}

/// Hashes and counts what is written through it to `inner`.
#[derive(Debug)]
pub struct Sha256Writer<W> {
    inner: W,
    state: sha2::Sha256,
    written: u64,
}

impl<W: io::Write> Sha256Writer<W> {
    /// Begins with nothing written.
    pub fn new(inner: W) -> Self {
        Self {
            inner,
            state: sha2::Sha256::new(),
            written: 0,
        }
    }

    /// Returns the inner writer, the digest of what was written, and how many bytes that was.
    pub fn finish(self) -> (W, Sha256, u64) {
        (
            self.inner,
            Sha256(self.state.finalize().into()),
            self.written,
        )
    }
}

impl<W: io::Write> io::Write for Sha256Writer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.state.update(&bytes[..count]);
        self.written += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_have_one_form() {
        let digest = Sha256::of(b"abc");
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest.to_string(), text);
        assert_eq!(text.parse(), Ok(digest));
        for bad in [
            "",
            "ba78",
            &text.to_uppercase(),
            &format!("{text}0"),
            &text.replace('b', "g"),
        ] {
            bad.parse::<Sha256>().unwrap_err();
        }
    }

    #[test]
    fn a_stream_has_the_digest_of_its_bytes() {
        let mut writer = Sha256Writer::new(Vec::new());
        io::copy(&mut &b"abc"[..], &mut writer).unwrap();
        let (bytes, digest, count) = writer.finish();
        assert_eq!(
            (bytes.as_slice(), digest, count),
            (&b"abc"[..], Sha256::of(b"abc"), 3)
        );
    }
}
