//! Writers of libvirt's documents: the network, and a domain of each kind; on another host, a storage pool and its volumes.
//! Readers of what is ours in them.

mod document;
mod element;
mod files;
mod lxc;
mod network;
mod qemu;
mod read;
pub mod volume;

pub use element::{Link, TAG};
pub use files::{CONSOLE, CREDENTIALS, DISK, MachineFiles};
pub use lxc::{DATA_DIRECTORIES, lxc_domain};
pub use network::network;
pub use qemu::{Accelerator, DISK_TARGET, Machine, qemu_domain, qemu_link, trial_domain};
pub use read::{Owner, accelerator, interfaces, network_tag, qemu_owner, tag};
