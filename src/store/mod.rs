//! The content-addressed store: what is built or fetched is named by what it is made of.
//!
//! A [`Derivation`] says how to make one path: a [`Builder`] (pure data) and the derivations it builds
//! upon. The hash of its canonical [`Encoding`] names the output, so that the path is known before
//! anything is built. [`Store::realise`] makes the path exist: whole, or not at all.
//!
//! ```text
//! STORE/<hash>-<name>              an output: a file or a tree, never changed again
//! STORE/.registry/<hash>-<name>    what was registered about it: tree hash, fingerprint, references
//! STORE/.locks/ .tmp/ .logs/ .cache/ .roots/
//! ```

mod builder;
mod collect;
mod derivation;
mod door;
mod encoding;
mod error;
mod fetch;
mod mirror;
mod path;
mod realise;
mod registry;
mod sandbox;
mod schedule;
mod tree;
mod verify;

pub use crate::sha256::{Sha256, Sha256Error, Sha256Writer};
pub use builder::{Build, Builder, Tool};
pub use collect::Collected;
pub use derivation::Derivation;
pub use door::Store;
pub(crate) use door::remove;
pub use encoding::Encoding;
pub(crate) use error::at;
pub use error::{BuildError, FetchError, FileError, StoreError};
pub use fetch::{Download, is_offered};
pub use mirror::Mirrors;
pub use path::{StorePath, StorePathError};
pub use registry::Registration;
pub(crate) use registry::write_atomically;
pub use sandbox::Sandboxed;
pub use schedule::Lane;
pub use tree::{Tree, normalise};
pub use verify::{Checked, Finding};
