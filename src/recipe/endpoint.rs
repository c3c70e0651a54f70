//! Carrying out what changes the place at which the API servers are reached.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use camino::Utf8DirEntry;

use crate::file;
use crate::kubernetes::{Kubernetes, patiently, server};
use crate::name::NodeName;
use crate::plan::NodeRole;
use crate::recipe::load_balancer::NOTICED;
use crate::recipe::lookup::{planned, session};
use crate::recipe::{RecipeError, control_plane};
use crate::render::kubeadm::ASIDE;
use crate::site::Site;

/// A snapshot of a lab's etcd takes a second; one of several gigabytes, on a slow disk, minutes.
const SAVE: Duration = Duration::from_secs(300);

/// As kubeadm's own: the certificate of an API server's client.
const SNAPSHOT: &str = "
pki=/etc/kubernetes/pki/etcd
mkdir -p /var/lib/regent
snapshot=$(mktemp -d /var/lib/regent/snapshot.XXXXXX)
trap 'rm -rf $snapshot' EXIT
etcdctl --endpoints https://127.0.0.1:2379 --cacert $pki/ca.crt --cert $pki/healthcheck-client.crt --key $pki/healthcheck-client.key \
    snapshot save $snapshot/etcd.db >/dev/null 2>$snapshot/log || { cat $snapshot/log >&2; exit 1; }
cat $snapshot/etcd.db
";

/// Keeps what kubeadm made on a node in the lab's directory: `/etc/kubernetes` as a tar file and, of a control-plane node,
/// a snapshot of etcd beside it.
pub(super) async fn save(site: &Site, node: &NodeName) -> Result<(), RecipeError> {
    let keep = |name: String, content: Vec<u8>| {
        let directory = site.lab.paths().saved();
        let path = directory.join(name);
        let written = std::fs::create_dir_all(&directory)
            .and_then(|()| file::write_whole(&path, &content, 0o600));
        written.map_err(|source| RecipeError::File { path, source })
    };
    if planned(site, node)?.role == NodeRole::ControlPlane {
        let snapshot = session(site, node)?.script(SNAPSHOT).deadline(SAVE);
        keep(format!("{node}.db"), snapshot.run_bytes().await?)?;
    }
    // Last: it stands for all of it.
    let files = session(site, node)?.script("tar -C /etc -cf - kubernetes");
    keep(format!("{node}.tar"), files.run_bytes().await?)
}

/// The nodes of which everything is kept.
pub(super) fn saved(site: &Site) -> BTreeSet<NodeName> {
    let entries = site.lab.paths().saved().read_dir_utf8();
    let entries = entries.into_iter().flatten().flatten();
    let node = |entry: Utf8DirEntry| entry.file_name().strip_suffix(".tar")?.parse().ok();
    entries.filter_map(node).collect()
}

/// Forgets what was kept: the cluster is back where it was.
pub(super) fn forget_saved(site: &Site) -> Result<(), RecipeError> {
    let path = site.lab.paths().saved();
    match std::fs::remove_dir_all(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(RecipeError::File { path, source })
        }
        _ => Ok(()),
    }
}

/// Has the API server's certificate carry every planned name. It is made aside and moved over the old one: the running API
/// server takes it within half a second, and is never without one.
pub(super) async fn certify(site: &Site, node: &NodeName) -> Result<(), RecipeError> {
    let prepare = format!(
        "rm -rf {ASIDE}\nmkdir -m 700 -p {ASIDE}\nln -s /etc/kubernetes/pki/ca.crt /etc/kubernetes/pki/ca.key {ASIDE}\n"
    );
    session(site, node)?.script(prepare).run().await?;
    control_plane::certify(site, node).await
}

/// Has a node's kubeconfigs name the planned place, but for those of a control-plane node that are for its own API server.
/// A kubelet whose kubeconfig changes starts again; its pods do not.
pub(super) async fn repoint(site: &Site, node: &NodeName) -> Result<(), RecipeError> {
    let (files, then) = match planned(site, node)?.role {
        NodeRole::Worker => ("kubelet.conf", "systemctl restart kubelet\n"),
        NodeRole::ControlPlane | NodeRole::LoadBalancer => ("admin.conf super-admin.conf", ""),
    };
    let server = server(&site.plan);
    let script = format!(
        "cd /etc/kubernetes\nfor file in {files} /root/.kube/config; do\n[ ! -s $file ] || sed -i 's#^\\( *server: \\).*#\\1{server}#' $file\ndone\n{then}"
    );
    session(site, node)?.script(script).run().await?;
    Ok(())
}

/// Has the cluster's objects name the planned place. kubeadm's configuration comes last: where it is so, all of it is.
pub(super) async fn announce(site: &Site, kubernetes: &Kubernetes) -> Result<(), RecipeError> {
    let server = server(&site.plan);
    patiently(NOTICED, || kubernetes.point_to(&server)).await?;
    control_plane::upload_configuration(site).await
}
