//! The user's wish: the types of `cluster.yaml`, their defaults, and the rules between them.
//!
//! [`load`] turns the file's text into a [`ClusterSpec`], or into [`Diagnostics`]: everything that is wrong with it, each
//! with its place, a snippet and a hint.

mod backup;
mod budgets;
mod capacity;
mod choice;
mod diagnostic;
mod flags;
pub mod layout;
mod lists;
mod load;
mod machine;
mod ranges;
mod reader;
mod remote;
mod rule;
mod rules;
mod schema;
mod section;
mod suggest;
mod types;
mod units;

pub use backup::{Period, Recipient};
pub use budgets::Budgets;
pub use choice::{
    ApiVersion, CertificateMode, Connect, Driver, DriverChoice, DriverDecision, Endpoint, Tuning,
};
pub use diagnostic::{Diagnostic, Diagnostics, Severity, ValueError};
pub use flags::ExtraArgs;
pub use lists::Taint;
pub use load::{Loaded, load};
pub use machine::Machine;
pub use remote::RemoteUri;
pub use schema::{TEMPLATE, json_schema, reference_markdown};
pub use types::{
    BackupSpec, ClusterSpec, ControlPlaneSpec, HypervisorSpec, KubeadmSpec, LoadBalancerSpec,
    NetworkSpec, WorkerSpec,
};
pub use units::{KubernetesVersion, Limit, Memory, SUPPORTED_KUBERNETES};
