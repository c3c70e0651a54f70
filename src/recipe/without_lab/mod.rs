//! `up` with everything of its own, looks and actions and the clients that they use, on nodes in memory: no lab is needed, and
//! a cluster takes seconds. What is not regent's is stood in for: kubeadm, systemd, etcd, the API.

mod bench;
mod servers;
mod tests;
mod truth;
