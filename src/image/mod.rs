//! What nodes boot: recipes under `images/` turned into derivations, and those into store paths.
//!
//! ```text
//! Debian packages ─▶ debian-root ─────────────────────────────────────────────▶ node-root ─┐
//!                 └▶ nft-base ──────────▶ image of kube-proxy ─┐                   ▲       │
//! Go toolchain ─▶ Go modules ─▶ binaries ─▶ images ────────────┴▶ containerd-images │ ─────┤
//!                                     └─────────────────────────────────────────────┘      │
//! Debian packages ─▶ boot-packages ─▶ kernel, initrd                                       ▼
//!                                └──▶ modules ─────────────────────────────────────▶ machine-disk
//! ```

mod boot;
mod containerd;
mod cpio;
mod debian;
mod embedded;
mod golang;
mod link;
mod lock;
mod machine;
mod node_image;
mod node_root;
mod oci;
mod parts;
mod recipe;
mod resolve;
#[cfg(test)]
mod stub;

pub use containerd::DATABASES;
pub use link::link_tree;
pub use lock::{Lock, LockError, LockedGo, LockedPackage, Problem, Purpose};
pub use machine::MachineParts;
pub use node_image::{
    ImageError, MachineImage, NodeImage, names, realise, realise_kernel, retain, versions,
};
pub use parts::{Parts, parts};
pub use resolve::{ResolveError, resolve};
