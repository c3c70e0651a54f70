//! Pure writers of every generated file. Each takes a plan (and where needed secrets) and returns text.

pub mod cni;
pub mod haproxy;
pub mod kubeadm;
pub mod libvirt;
pub mod network;
