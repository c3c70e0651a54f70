//! What the cluster's API shows, and what the lab keeps to ask it with.

use std::time::Duration;

use super::Patience;
use crate::event::chain;
use crate::kubernetes::{self, Kubernetes, KubernetesError};
use crate::recipe::manifests;
use crate::recipe::world::{Api, ApiSeen, Kubeconfig};
use crate::site::Site;

/// How often, and how long apart, rights are looked for.
const LOOKS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(400);

pub(super) async fn seen(site: &Site, kubernetes: Option<&Kubernetes>, patience: Patience) -> Api {
    let Some(kubernetes) = kubernetes else {
        return Api::Silent("there is no kubeconfig to ask it with".to_owned());
    };
    // Dozens of kilobytes, which would be part of every future around it.
    let question = Box::pin(ask(site, kubernetes));
    match patience
        .heard(site.plan.network.endpoint, patience.api, question)
        .await
    {
        Some(Ok(seen)) => Api::Answers(Box::new(seen)),
        // The administrator's rights are a part of `kubeadm init`'s work.
        Some(Err(error)) if error.is_forbidden() && is_without_rights(kubernetes).await => {
            Api::Answers(Box::new(ApiSeen {
                unfounded: vec!["the administrator's rights".to_owned()],
                ..ApiSeen::default()
            }))
        }
        Some(Err(error)) => Api::Silent(chain(&error)),
        None => Api::Silent(format!("no answer from {}", site.plan.endpoint())),
    }
}

/// Whether the administrator really has no rights. An API server that has just started knows nobody's for a moment, and
/// says itself that it is not ready; so does the next one that the load balancer may hand the question to.
pub(in crate::recipe) async fn is_without_rights(kubernetes: &Kubernetes) -> bool {
    for _ in 0..LOOKS {
        let forbidden = kubernetes
            .nodes()
            .await
            .is_err_and(|error| error.is_forbidden());
        if !forbidden || !kubernetes.ready().await {
            return false;
        }
        tokio::time::sleep(PAUSE).await;
    }
    true
}

async fn ask(site: &Site, kubernetes: &Kubernetes) -> Result<ApiSeen, KubernetesError> {
    let applied = async {
        if site.plan.manifests.is_empty() {
            return Ok(None);
        }
        manifests::applied(kubernetes).await
    };
    let ((ready, founded), (nodes, leases, dns, dns_pods, proxy_pods, manifests)) = futures::join!(
        async { futures::join!(kubernetes.ready(), kubernetes.founded()) },
        async {
            futures::join!(
                kubernetes.nodes(),
                kubernetes.leases(),
                kubernetes.rollout("kube-system", "coredns"),
                kubernetes.pods("kube-system", "k8s-app=kube-dns"),
                kubernetes.pods("kube-system", "k8s-app=kube-proxy"),
                applied,
            )
        },
    );
    let founded = founded?;
    Ok(ApiSeen {
        ready,
        nodes: nodes?,
        unfounded: founded.missing,
        endpoint: founded.endpoint,
        leases: leases?,
        dns: dns?,
        dns_pods: dns_pods?,
        proxy_pods: proxy_pods?,
        manifests: manifests?,
    })
}

/// What the lab keeps.
pub(super) fn kubeconfig(site: &Site) -> Kubeconfig {
    let path = site.kubeconfig();
    if !path.exists() {
        return Kubeconfig::Missing;
    }
    match kubernetes::examine(&path, &kubernetes::server(&site.plan)) {
        Ok(ca) => Kubeconfig::Usable { ca },
        Err(why) => Kubeconfig::Unusable(why),
    }
}
