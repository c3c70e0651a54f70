//! regent turns one `cluster.yaml` into a running, highly available kubeadm cluster on libvirt
//! nodes, and proves that it survives the loss of a control-plane node.
//!
//! Data flows in one direction, and each arrow is one module:
//!
//! ```text
//! cluster.yaml ─spec─▶ ClusterSpec ─plan─▶ Plan ─store, image─▶ store paths
//!              ─lab, hypervisor─▶ nodes ─recipe─▶ cluster ─verify─▶ evidence
//! ```
//!
//! * [`spec`] is the user's wish: [`spec::ClusterSpec`], parsed with positions, validated as a whole.
//! * [`plan`] derives everything that can be known before anything runs: a [`plan::Plan`]. Pure.
//! * [`render`] writes the text of every generated file. Pure.
//! * [`store`] keeps what was built or fetched, by content; [`image`] says what there is to build.
//! * [`lab`] is one running cluster's place on this machine: state directory, namespaces, daemon.
//! * [`hypervisor`] is the only user of libvirt; [`node`] the only user of SSH.
//! * [`impairment`] makes a running node's life hard from within.
//! * [`site`] bundles a plan with the running parts that stand for it.
//! * [`kubernetes`] is the only user of the Kubernetes client library.
//! * [`recipe`] turns running nodes into a cluster, one idempotent step at a time.
//! * [`verify`] injects faults under load, measures, and judges.
//! * [`yaml`] is the only door to YAML.
//! * [`event`] is the one language between all of these and what shows them.
//! * [`cli`] is the only place that prints.

pub mod cli;
pub mod cluster_file;
pub mod event;
pub mod hypervisor;
pub mod image;
pub mod impairment;
pub mod kubernetes;
pub mod lab;
pub mod machine;
pub mod name;
pub mod node;
pub mod plan;
pub mod recipe;
pub mod render;
pub mod site;
pub mod spec;
pub mod store;
pub mod verify;
pub mod xml;
pub mod yaml;
