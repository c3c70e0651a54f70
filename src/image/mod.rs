//! What nodes boot: recipes under `images/` turned into derivations, and those into store paths.
//!
//! ```text
//! Debian packages ─▶ debian-root ─────────────────────────────────────────────▶ node-root
//!                 └▶ nft-base ──────────▶ image of kube-proxy ─┐                   ▲
//! Go toolchain ─▶ Go modules ─▶ binaries ─▶ images ────────────┴▶ containerd-images │
//!                                     └─────────────────────────────────────────────┘
//! ```

mod containerd;
mod debian;
mod embedded;
mod golang;
mod link;
mod lock;
mod node_image;
mod node_root;
mod oci;
mod parts;
mod recipe;
mod resolve;

pub use containerd::DATABASES;
pub use link::link_tree;
pub use lock::{Lock, LockError, LockedGo, LockedPackage, Problem};
pub use node_image::{ImageError, NodeImage, realise, retain, versions};
pub use parts::{Parts, parts};
pub use resolve::{ResolveError, resolve};
