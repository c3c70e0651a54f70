//! Pure writers of every generated file. Each takes a plan (and where needed secrets) and returns text.

pub mod backup;
pub mod cni;
mod files;
pub mod haproxy;
pub mod kubeadm;
pub mod libvirt;
pub mod network;

pub use files::{FilesError, files};
