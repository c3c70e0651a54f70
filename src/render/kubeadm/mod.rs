//! kubeadm's configuration files (`kubeadm.k8s.io/v1beta4`).

mod secrets;

pub use secrets::{CertificateKey, InitSecrets, JoinSecrets, Token, TokenError};

use crate::plan::{NodePlan, Plan};
use crate::yaml;

/// Writes the documents of `kubeadm init` on `node`: InitConfiguration, ClusterConfiguration, KubeletConfiguration,
/// KubeProxyConfiguration. Also what `init phase …` needs on a running cluster.
pub fn init(_plan: &Plan, _node: &NodePlan, _secrets: &InitSecrets) -> Result<String, yaml::Error> {
    unimplemented!()
}

/// Writes the JoinConfiguration of `node`, as control-plane node or worker by its role.
pub fn join(_plan: &Plan, _node: &NodePlan, _secrets: &JoinSecrets) -> Result<String, yaml::Error> {
    unimplemented!()
}
