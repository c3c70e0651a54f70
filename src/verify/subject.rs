//! What was under test: versions and hashes.

use std::collections::BTreeMap;

use super::api::Api;
use super::etcd::Etcd;
use super::evidence::Subject;
use crate::sha256::Sha256;
use crate::site::Site;

/// Among the versions, what ran the processors of virtual machines.
pub(super) const ACCELERATOR: &str = "accelerator";

/// Asks the running cluster for its versions, and hashes everything that regent generated for it. What does not
/// answer is left out: an incomplete list is better than no run.
pub(super) async fn subject(site: &Site, api: &Api, etcd: &Etcd) -> Subject {
    let mut versions = BTreeMap::from([
        ("regent".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
        ("kubernetes".to_owned(), site.plan.kubernetes.to_string()),
        ("tuning".to_owned(), site.plan.tuning.to_string()),
        ("driver".to_owned(), site.plan.driver.to_string()),
    ]);
    if let Some(node) = site.plan.nodes.first()
        && let Ok(Some(accelerator)) = site.provider.accelerator(&node.name).await
    {
        versions.insert(ACCELERATOR.to_owned(), accelerator.to_string());
    }
    for node in api.nodes().await.unwrap_or_default() {
        let name = node.metadata.name.unwrap_or_default();
        if let Some(info) = node.status.and_then(|status| status.node_info) {
            versions.insert(format!("{name}:kubelet"), info.kubelet_version);
            versions.insert(format!("{name}:runtime"), info.container_runtime_version);
            versions.insert(format!("{name}:kernel"), info.kernel_version);
            versions.insert(format!("{name}:os"), info.os_image);
        }
    }
    for (node, status) in etcd.view().await.members {
        versions.extend(status.map(|status| (format!("{node}:etcd"), status.version)));
    }
    for planned in site.plan.load_balancers() {
        let Some(node) = site.node(&planned.name) else {
            continue;
        };
        if let Ok(text) = node.command(["haproxy", "-v"]).run().await {
            let line = text.lines().next().unwrap_or_default().to_owned();
            versions.insert(format!("{}:haproxy", planned.name), line);
        }
    }
    Subject {
        versions,
        hashes: hashes(site, images(api).await),
    }
}

fn hashes(site: &Site, images: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let generated = site.plan.nodes.iter().flat_map(|node| {
        let files = node.files.iter();
        files.map(|file| {
            (
                format!("{}:{}", node.name, file.path),
                digest(&file.content),
            )
        })
    });
    let manifests = site.plan.manifests.iter();
    let manifests = manifests.map(|(name, text)| (format!("manifest:{name}"), digest(text)));
    let parts = site.parts.iter().map(|(name, path)| {
        (
            format!("store:{name}"),
            path.file_name().unwrap_or_default().to_owned(),
        )
    });
    generated
        .chain(manifests)
        .chain(parts)
        .chain(images)
        .collect()
}

/// Returns the images that the cluster's own pods run, with the digests that the nodes report.
async fn images(api: &Api) -> BTreeMap<String, String> {
    let pods = api.pods("kube-system").await.unwrap_or_default();
    let statuses = pods
        .into_iter()
        .filter_map(|pod| pod.status?.container_statuses)
        .flatten();
    statuses
        .map(|status| (format!("image:{}", status.image), status.image_id))
        .collect()
}

/// Returns the SHA-256 of a text, in hexadecimal digits.
pub(super) fn digest(text: &str) -> String {
    Sha256::of(text.as_bytes()).to_string()
}
