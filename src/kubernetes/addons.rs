//! What regent changes of the objects that kubeadm made.

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Node, Service};
use kube::api::{Api, Patch, PatchParams, Resource};
use serde_json::Value;

use super::{Kubernetes, KubernetesError, failed};

impl Kubernetes {
    /// Changes a deployment of `kube-system`; what the patch says already changes nothing.
    pub async fn patch_deployment(&self, name: &str, patch: Value) -> Result<(), KubernetesError> {
        let api: Api<Deployment> = Api::namespaced(self.0.clone(), "kube-system");
        patched(&api, name, patch, "take a deployment").await
    }

    /// Changes a service of `kube-system`, in the same way.
    pub async fn patch_service(&self, name: &str, patch: Value) -> Result<(), KubernetesError> {
        let api: Api<Service> = Api::namespaced(self.0.clone(), "kube-system");
        patched(&api, name, patch, "take a service").await
    }

    /// Changes a ConfigMap of `kube-system`, in the same way.
    pub async fn patch_config(&self, name: &str, patch: Value) -> Result<(), KubernetesError> {
        let api: Api<ConfigMap> = Api::namespaced(self.0.clone(), "kube-system");
        patched(&api, name, patch, "take a ConfigMap").await
    }

    /// Changes a node's object, in the same way.
    pub async fn patch_node(&self, name: &str, patch: Value) -> Result<(), KubernetesError> {
        let api: Api<Node> = Api::all(self.0.clone());
        patched(&api, name, patch, "take a node").await
    }
}

pub(super) async fn patched<K>(
    api: &Api<K>,
    name: &str,
    patch: Value,
    what: &'static str,
) -> Result<(), KubernetesError>
where
    K: Resource + Clone + std::fmt::Debug + serde::de::DeserializeOwned,
{
    let patch = Patch::Strategic(patch);
    match api.patch(name, &PatchParams::default(), &patch).await {
        Ok(_) => Ok(()),
        Err(error) => Err(failed(what)(error)),
    }
}
