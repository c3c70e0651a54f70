//! Writers of libvirt's documents: the network, and a domain of each kind. Readers of what is ours in them.

mod element;
mod lxc;
mod network;
mod qemu;
mod read;

pub use element::{Link, TAG};
pub use lxc::{DATA_DIRECTORIES, lxc_domain};
pub use network::network;
pub use qemu::{
    Accelerator, CONSOLE, CREDENTIALS, DISK, DISK_TARGET, Machine, qemu_domain, qemu_link,
};
pub use read::{accelerator, interfaces, tag};
