//! The user's wish: the types of `cluster.yaml`, their defaults, and the rules between them.
//!
//! [`load`] turns the file's text into a [`ClusterSpec`], or into [`Diagnostics`]: everything that is wrong with it, each
//! with its place, a snippet and a hint.

mod capacity;
mod choice;
mod diagnostic;
pub mod layout;
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

pub use choice::{
    ApiVersion, CertificateMode, Connect, Driver, DriverChoice, DriverDecision, Tuning,
};
pub use diagnostic::{Diagnostic, Diagnostics, Severity, ValueError};
pub use load::{Loaded, load};
pub use machine::Machine;
pub use remote::RemoteUri;
pub use schema::{TEMPLATE, json_schema, reference_markdown};
pub use types::{
    Budgets, ClusterSpec, ControlPlaneSpec, HypervisorSpec, LoadBalancerSpec, NetworkSpec,
    WorkerSpec,
};
pub use units::{KubernetesVersion, Memory, SUPPORTED_KUBERNETES};
