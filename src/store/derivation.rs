//! How to make one path.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::{Builder, Download, Encoding, StorePath, StorePathError};

/// How to make one path of a store. Its path is known before it is made.
#[derive(Debug, Clone)]
pub struct Derivation {
    path: StorePath,
    pub(super) how: How,
}

#[derive(Debug, Clone)]
pub(super) enum How {
    /// Named by what it is made of.
    Build(Arc<dyn Builder>),
    /// Named by what it holds.
    Fetch(Download),
}

impl Derivation {
    /// A derivation that builds: its hash covers the name, the builder and the paths of its inputs.
    ///
    /// # Errors
    /// When `name` cannot stand in a path.
    pub fn build(name: &str, builder: impl Builder + 'static) -> Result<Arc<Self>, StorePathError> {
        let mut encoding = Encoding::new("derivation/1");
        encoding.text(name);
        encoding.list(builder.inputs().iter(), |encoding, input| {
            _ = encoding.text(input.path().as_str());
        });
        builder.encode(&mut encoding);
        let path = StorePath::new(encoding.hash(), name)?;
        Ok(Arc::new(Self {
            path,
            how: How::Build(Arc::new(builder)),
        }))
    }

    /// A derivation that downloads a file: its hash covers the name and the content's hash, wherever it comes from.
    ///
    /// # Errors
    /// When `name` cannot stand in a path.
    pub fn fetch(name: &str, download: Download) -> Result<Arc<Self>, StorePathError> {
        let mut encoding = Encoding::new("fixed/1");
        encoding.text(name).bytes(download.sha256.as_bytes());
        let path = StorePath::new(encoding.hash(), name)?;
        Ok(Arc::new(Self {
            path,
            how: How::Fetch(download),
        }))
    }

    /// The path that it makes.
    pub fn path(&self) -> &StorePath {
        &self.path
    }

    /// The name for people.
    pub fn name(&self) -> &str {
        self.path.name()
    }

    /// The derivations that it builds upon.
    pub fn inputs(&self) -> Vec<Arc<Self>> {
        match &self.how {
            How::Build(builder) => builder.inputs(),
            How::Fetch(_) => Vec::new(),
        }
    }

    /// Returns what `tops` are made of, themselves included: inputs first, each once.
    pub fn closure<'a>(tops: impl IntoIterator<Item = &'a Arc<Self>>) -> Vec<Arc<Self>> {
        fn visit(
            derivation: &Arc<Derivation>,
            seen: &mut BTreeSet<StorePath>,
            into: &mut Vec<Arc<Derivation>>,
        ) {
            if seen.insert(derivation.path.clone()) {
                derivation
                    .inputs()
                    .iter()
                    .for_each(|input| visit(input, seen, into));
                into.push(Arc::clone(derivation));
            }
        }
        let (mut seen, mut closure) = Default::default();
        tops.into_iter()
            .for_each(|top| visit(top, &mut seen, &mut closure));
        closure
    }
}
