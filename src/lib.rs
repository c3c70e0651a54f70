//! regent turns one `cluster.yaml` into a running, highly available kubeadm cluster on libvirt
//! nodes, and proves that it survives the loss of a control-plane node.
//!
//! The walk of the types, from the file to a verdict:
//!
//! 1. [`cluster_file::ClusterFile`] reads `cluster.yaml` into a [`spec::ClusterSpec`], or into [`spec::Diagnostics`].
//! 2. [`derive::plan`] makes of it the [`plan::Plan`]: names, addresses, every file. Pure, as everything up to here.
//! 3. [`image::realise`] builds what nodes boot, by hash: an [`image::NodeImage`] in the [`store`].
//! 4. [`ops::enter`] takes the [`lab::Lab`], whose [`lab::Record`] says what the cluster was last brought to, and
//!    [`site::Site`] joins plan, lab, [`provider`] and one [`node::Node`] for each node.
//! 5. [`recipe::observe`] sees the [`recipe::World`]; [`recipe::next`] compares wanted, recorded and seen, and names each
//!    [`recipe::Action`]; [`recipe::up`] does them and looks again, until nothing is left.
//! 6. [`verify::run`] does a [`verify::Scenario`] to the site, with a [`fault::Fault`] and a load, and leaves
//!    [`verify::Evidence`]; [`verify::judge`] makes of that, and of nothing else, a [`verify::Verdict`].
//!
//! The modules, lowest last:
//!
//! * [`spec`] is the user's wish: [`spec::ClusterSpec`], parsed with positions, validated as a whole.
//! * [`mod@derive`] makes of it everything that can be known before anything runs: a [`plan::Plan`]. Pure.
//! * [`render`] writes the text of every generated file of a plan. Pure.
//! * [`plan`] is the plan itself, and how one differs from another. Pure.
//! * [`store`] keeps what was built or fetched, by content; [`image`] says what there is to build.
//! * [`lab`] is one running cluster's place on this machine: its record, state directory, namespaces, daemon.
//! * [`provider`] runs nodes, and is the only user of libvirt; [`node`] the only user of SSH.
//! * [`fault`] is what can be done to a node, and its reversal.
//! * [`site`] bundles a plan with the running parts that stand for it.
//! * [`etcd`] asks etcd's members; [`kubernetes`] is the only user of the Kubernetes client library.
//! * [`recipe`] turns running nodes into a cluster, one idempotent step at a time.
//! * [`verify`] injects faults under load, measures, and judges.
//! * [`ops`] has the use cases: opens the lab, holds it as strongly as it takes, runs.
//! * [`yaml`] is the only door to YAML; [`mod@file`] reads and writes regent's own files.
//! * [`event`] is the one language between all of these and what shows them.
//! * [`program`] finds the programs that others start.
//! * [`cli`] is the only place that prints.

pub mod beside;
pub mod cli;
pub mod cluster_file;
pub mod derive;
pub mod etcd;
pub mod event;
pub mod fault;
pub mod file;
pub mod image;
pub mod kubernetes;
pub mod lab;
pub mod machine;
pub mod name;
pub mod node;
pub mod ops;
pub mod plan;
pub mod program;
pub mod provider;
pub mod recipe;
pub mod render;
mod sha256;
pub mod site;
pub mod spec;
pub mod store;
pub mod verify;
pub mod xml;
pub mod yaml;
