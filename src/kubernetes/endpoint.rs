//! Where the cluster's own objects say that its API servers are.

use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::Api;
use kube::config::Kubeconfig;
use serde_json::json;

use super::addons::patched;
use super::{Kubernetes, KubernetesError, failed};
use crate::plan::Plan;

/// What of `kubeadm init`'s work is in the API.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Founded {
    /// What is missing: an `init` that was interrupted stops before it.
    pub missing: Vec<String>,
    /// What is there names this place.
    pub endpoint: Named,
}

/// The place of the API servers, as the objects that kubeadm makes name it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Named {
    /// `controlPlaneEndpoint` of kubeadm's configuration, `ADDRESS:6443`. Without one kubeadm joins no further control-plane
    /// node.
    pub configuration: Option<String>,
    /// The server of `cluster-info`, which a node that joins takes into its kubelet's kubeconfig.
    pub discovery: Option<String>,
    /// kube-proxy's server.
    pub proxy: Option<String>,
}

impl Named {
    /// As a plan wants it.
    pub fn of(plan: &Plan) -> Self {
        let server = Some(server(plan));
        Self {
            configuration: plan.control_plane_endpoint(),
            discovery: server.clone(),
            proxy: server,
        }
    }
}

/// Where a plan's API servers are reached, as kubeconfigs write it.
pub fn server(plan: &Plan) -> String {
    format!("https://{}", plan.endpoint())
}

const PROXY: &str = "kube-proxy";
const DISCOVERY: &str = "cluster-info";

impl Kubernetes {
    /// Looks for what `kubeadm init` makes in the API.
    pub async fn founded(&self) -> Result<Founded, KubernetesError> {
        let maps = |namespace| Api::<ConfigMap>::namespaced(self.client(), namespace);
        let error = failed("show what kubeadm made");
        let deployments: Api<Deployment> = Api::namespaced(self.client(), "kube-system");
        let daemons: Api<DaemonSet> = Api::namespaced(self.client(), "kube-system");
        let (system, public) = (maps("kube-system"), maps("kube-public"));
        let (config, kubelet, info, dns, proxy, proxy_config) = futures::try_join!(
            system.get_opt("kubeadm-config"),
            system.get_opt("kubelet-config"),
            public.get_opt(DISCOVERY),
            deployments.get_opt("coredns"),
            daemons.get_opt(PROXY),
            system.get_opt(PROXY),
        )
        .map_err(error)?;
        let there = [
            ("ConfigMap kube-system/kubeadm-config", config.is_some()),
            ("ConfigMap kube-system/kubelet-config", kubelet.is_some()),
            ("ConfigMap kube-public/cluster-info", info.is_some()),
            ("Deployment kube-system/coredns", dns.is_some()),
            ("DaemonSet kube-system/kube-proxy", proxy.is_some()),
            ("ConfigMap kube-system/kube-proxy", proxy_config.is_some()),
        ];
        let missing = there.into_iter().filter(|(_, there)| !there);
        Ok(Founded {
            missing: missing.map(|(what, _)| what.to_owned()).collect(),
            endpoint: Named {
                configuration: config
                    .and_then(|map| control_plane_endpoint(value(&map, "ClusterConfiguration")?)),
                discovery: info.and_then(|map| named_in(value(&map, "kubeconfig")?)),
                proxy: proxy_config.and_then(|map| named_in(value(&map, "kubeconfig.conf")?)),
            },
        })
    }

    /// Has kube-proxy, and whoever joins from now on, find the API servers at `server`. Running proxies are replaced, node by
    /// node, as their DaemonSet is told to.
    pub async fn point_to(&self, server: &str) -> Result<(), KubernetesError> {
        self.point("kube-system", PROXY, "kubeconfig.conf", server)
            .await?;
        let daemons: Api<DaemonSet> = Api::namespaced(self.client(), "kube-system");
        // They read their file once.
        let annotation = json!({ "metadata": { "annotations": { "regent/endpoint": server } } });
        let template = json!({ "spec": { "template": annotation } });
        patched(&daemons, PROXY, template, "take a daemon set").await?;
        self.point("kube-public", DISCOVERY, "kubeconfig", server)
            .await
    }

    /// Rewrites the server of a kubeconfig in a ConfigMap.
    async fn point(
        &self,
        namespace: &str,
        name: &str,
        key: &str,
        server: &str,
    ) -> Result<(), KubernetesError> {
        let Some(text) = self.config_value(namespace, name, key).await? else {
            return Ok(());
        };
        let Some(named) = named_in(&text).filter(|named| named != server) else {
            return Ok(());
        };
        let text = text.replace(&format!("server: {named}"), &format!("server: {server}"));
        let maps: Api<ConfigMap> = Api::namespaced(self.client(), namespace);
        patched(
            &maps,
            name,
            json!({ "data": { key: text } }),
            "take a ConfigMap",
        )
        .await
    }
}

fn value<'a>(map: &'a ConfigMap, key: &str) -> Option<&'a str> {
    map.data.as_ref()?.get(key).map(String::as_str)
}

/// The server of a kubeconfig's first cluster.
fn named_in(kubeconfig: &str) -> Option<String> {
    let file = Kubeconfig::from_yaml(kubeconfig).ok()?;
    file.clusters.into_iter().next()?.cluster?.server
}

/// Of a `ClusterConfiguration` as kubeadm writes it: the key stands at the beginning of its line.
fn control_plane_endpoint(configuration: &str) -> Option<String> {
    let mut lines = configuration.lines();
    let value = lines.find_map(|line| line.strip_prefix("controlPlaneEndpoint:"))?;
    let value = value.trim().trim_matches(['"', '\'']);
    (!value.is_empty()).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_read_as_kubeadm_writes_it() {
        let read = control_plane_endpoint;
        let with = "clusterName: demo\ncontrolPlaneEndpoint: 198.18.0.11:6443\ndns: {}\n";
        assert_eq!(read(with).as_deref(), Some("198.18.0.11:6443"));
        let quoted = "controlPlaneEndpoint: \"api.example.com:6443\"\n";
        assert_eq!(read(quoted).as_deref(), Some("api.example.com:6443"));
        for without in [
            "clusterName: demo\n",
            "controlPlaneEndpoint: \"\"\n",
            "controlPlaneEndpoint:\n",
            "dns:\n  controlPlaneEndpoint: x\n",
            "",
        ] {
            assert_eq!(read(without), None, "{without}");
        }
        let kubeconfig = "apiVersion: v1\nkind: Config\nclusters:\n- name: \"\"\n  cluster:\n    server: https://198.18.0.21:6443\n";
        assert_eq!(
            named_in(kubeconfig).as_deref(),
            Some("https://198.18.0.21:6443")
        );
        assert_eq!(named_in("clusters: ["), None);
    }
}
