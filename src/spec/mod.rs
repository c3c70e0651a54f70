//! The user's wish: the types of `cluster.yaml`, their defaults, and the rules between them.
//!
//! [`load`] turns the file's text into a [`ClusterSpec`], or into [`Diagnostics`]: everything that is wrong with it, each
//! with its place, a snippet and a hint.

mod budgets;
mod capacity;
mod choice;
mod diagnostic;
mod kubeadm;
pub mod layout;
mod lists;
mod load;
mod machine;
mod ranges;
mod reader;
mod remote;
mod rules;
mod schema;
mod suggest;
mod types;
mod units;

pub use budgets::Budgets;
pub use choice::{
    ApiVersion, CertificateMode, Connect, Driver, DriverChoice, DriverDecision, Tuning,
};
pub use diagnostic::{Diagnostic, Diagnostics, Severity, ValueError};
pub use kubeadm::{ExtraArgs, KubeadmSpec, Taint};
pub use load::{Loaded, load};
pub use machine::Machine;
pub use remote::RemoteUri;
pub use schema::{TEMPLATE, json_schema, reference_markdown};
pub use types::{
    ClusterSpec, ControlPlaneSpec, HypervisorSpec, LoadBalancerSpec, NetworkSpec, WorkerSpec,
};
pub(crate) use units::duration_text;
pub use units::{KubernetesVersion, Memory, SUPPORTED_KUBERNETES};
