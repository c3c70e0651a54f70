//! The user's wish: the types of `cluster.yaml`, their defaults, and the rules between them.

mod types;

pub use types::{
    ApiVersion, Budgets, CertificateMode, ClusterSpec, Connect, ControlPlaneSpec, Driver,
    DriverChoice, HypervisorSpec, KubernetesVersion, LoadBalancerSpec, Memory, NetworkSpec, Tuning,
    WorkerSpec,
};
