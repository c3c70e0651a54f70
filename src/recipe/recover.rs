//! etcd from a backup, where nobody has its data any more.

use camino::Utf8PathBuf;

use crate::etcd::peer_url;
use crate::name::NodeName;
use crate::node::NodeFile;
use crate::recipe::backup::OpenedBackup;
use crate::recipe::lookup::{planned, session};
use crate::recipe::observe::look_at_etcd;
use crate::recipe::revive::{KEEP, NEW_CLUSTER, Survivor};
use crate::recipe::{RecipeError, control_plane, kubeadm};
use crate::site::Site;

/// Where the snapshot is on the node until etcd's data is made of it.
const SNAPSHOT: &str = "/var/lib/regent/restore.db";

/// Puts the cluster's keys on a node and makes etcd's data of a backup there, that of a cluster of one member; what else kubeadm
/// made is made anew of them (`Action::Restore`). Looks again before: no control-plane node may have data, and all of them must
/// say so.
pub(super) async fn recover(
    site: &Site,
    node: &NodeName,
    backup: &OpenedBackup,
) -> Result<Survivor, RecipeError> {
    let kept = |why: &str| RecipeError::Kept {
        node: node.clone(),
        why: why.to_owned(),
    };
    if look_at_etcd(site, &[]).await.members.is_some() {
        return Err(kept("a member of etcd's answers"));
    }
    if kubeadm::has_data(site, node).await? {
        return Err(kept("it has data of etcd's"));
    }
    control_plane::alone(site, node).await?;
    let peer = peer_url(planned(site, node)?.address);
    let snapshot = NodeFile {
        path: Utf8PathBuf::from(SNAPSHOT),
        mode: 0o600,
        content: backup.snapshot.clone(),
    };
    let files: Vec<_> = backup.keys.iter().cloned().chain([snapshot]).collect();
    session(site, node)?.push(&files).await?;
    let script = format!(
        "{KEEP}\
         mkdir -p /var/lib/etcd\n\
         cd /var/lib/etcd\n\
         etcdutl snapshot restore {SNAPSHOT} --data-dir restored --name {node} \
         --initial-cluster {node}={peer} --initial-advertise-peer-urls {peer} {NEW_CLUSTER}\n\
         sync\n\
         mv --no-target-directory restored/member member\n\
         rm -rf restored {SNAPSHOT}\n"
    );
    kubeadm::outlive(site, node, "etcdutl snapshot restore", &script).await?;
    Ok(Survivor {
        node: backup.about.node.clone(),
        revision: Some(backup.about.revision),
        term: None,
    })
}
