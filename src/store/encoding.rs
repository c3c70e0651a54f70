//! The canonical encoding under every store path.

use super::Sha256;

/// Bytes that mean one thing only: each item is its length (8 bytes, little endian), then itself.
///
/// A list is its number of items, then each item; a pair is its two items; a number is its 8 bytes.
/// Two different sequences of items never have the same bytes, so that their hash can stand for them.
/// The first item says what kind of thing is encoded, and in which version of its encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoding(Vec<u8>);

impl Encoding {
    /// Begins the encoding of a thing of this kind, such as `derivation/1`.
    pub fn new(kind: &str) -> Self {
        let mut encoding = Self(Vec::new());
        encoding.text(kind);
        encoding
    }

    /// Appends bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0
            .extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.0.extend_from_slice(bytes);
        self
    }

    /// Appends text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    /// Appends a number.
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.bytes(&number.to_le_bytes())
    }

    /// Appends a list: its length, and then what `each` appends for every item.
    pub fn list<T>(
        &mut self,
        items: impl ExactSizeIterator<Item = T>,
        mut each: impl FnMut(&mut Self, T),
    ) -> &mut Self {
        self.number(items.len() as u64);
        items.for_each(|item| each(self, item));
        self
    }

    /// Appends a list of texts.
    pub fn texts<'a>(
        &mut self,
        texts: impl IntoIterator<Item = &'a String, IntoIter: ExactSizeIterator>,
    ) -> &mut Self {
        self.list(texts.into_iter(), |encoding, text| {
            encoding.text(text);
        })
    }

    /// Returns the hash of everything appended so far.
    pub fn hash(&self) -> Sha256 {
        Sha256::of(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_fixed_for_all_time() {
        let mut encoding = Encoding::new("k");
        encoding.text("ab").number(3).list(["x"].iter(), |e, x| {
            e.text(x);
        });
        let expected = b"\x01\0\0\0\0\0\0\0k\x02\0\0\0\0\0\0\0ab\x08\0\0\0\0\0\0\0\x03\0\0\0\0\0\0\0\x08\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0x";
        assert_eq!(encoding.0, expected);
    }

    #[test]
    fn different_items_never_run_together() {
        let of = |items: &[&str]| {
            let mut encoding = Encoding::new("t");
            encoding.list(items.iter(), |e, text| {
                e.text(text);
            });
            encoding.hash()
        };
        let all = [
            of(&["ab", "c"]),
            of(&["a", "bc"]),
            of(&["abc"]),
            of(&["ab", "c", ""]),
            of(&[]),
        ];
        for (i, left) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|right| left != right));
        }
    }
}
