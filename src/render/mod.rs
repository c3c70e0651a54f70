//! Pure writers of every generated file. Each takes a plan (and where needed secrets) and returns text.
pub mod kubeadm;
