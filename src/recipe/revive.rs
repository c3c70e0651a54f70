//! etcd from what one member has left, after its quorum is lost for good.

use std::collections::BTreeSet;

use crate::image::NodeImage;
use crate::name::NodeName;
use crate::recipe::observe::look_at_etcd;
use crate::recipe::up::{Outcome, up_without};
use crate::recipe::{RecipeError, Refusal, kubeadm};
use crate::site::Site;

/// An etcd that is told to end writes what it has applied into its database first. That becomes the snapshot of a new cluster of
/// one member. Its revisions begin far beyond what any client can have seen from the lost members, and everything before counts
/// as compacted: a watch from then is told so and begins anew, and no controller sees time run backwards (etcd's
/// recommendation: etcd.io, "Restoring with revision bump").
///
/// The two directories change places at once, so that there is always one; the old one stays beside it. API servers must not
/// go on with what they have of the old cluster.
const REVIVE: &str = r#"
cd /var/lib/etcd
[ -s member/snap/db ]
flag() { sed -n "s/^ *- --$1=//p" /etc/kubernetes/manifests/etcd.yaml | head -n 1; }
name=$(flag name) peer=$(flag initial-advertise-peer-urls)
systemctl stop kubelet
turns=300
pkill -TERM -x etcd || true
while pgrep -x etcd >/dev/null; do
    turns=$((turns - 1))
    [ $turns -gt 0 ] || { echo "etcd does not end" >&2; exit 1; }
    sleep 0.1
done
pkill -KILL -x "kube-(apiserver|controller|scheduler)" || true
rm -rf restored
etcdutl snapshot restore member/snap/db --skip-hash-check --data-dir restored --name $name \
    --initial-cluster $name=$peer --initial-advertise-peer-urls $peer --initial-cluster-token regent-restored \
    --bump-revision 1000000000 --mark-compacted
sync
mv --exchange --no-target-directory restored/member member
rm -rf before-restore
mv restored/member before-restore
rm -rf restored
systemctl start kubelet
"#;

/// Brings a cluster back whose etcd has lost its quorum for good: the members on the nodes of `lost` are given up, and with them
/// what no other has. Nodes that are merely off are started first; where they bring the quorum back, nothing is given up. Runs
/// on the lab's runtime.
///
/// # Errors
/// When etcd has a quorum, or a node that has lost its data is not named.
pub async fn restore(
    site: &Site,
    image: &NodeImage,
    lost: &BTreeSet<NodeName>,
) -> Result<Outcome, RecipeError> {
    if look_at_etcd(site, &[]).await.quorum {
        return Err(RecipeError::Refused(vec![Refusal {
            node: None,
            seen: "etcd has a quorum, and everything that was acknowledged".to_owned(),
            mend: "`regent up` mends what is broken".to_owned(),
        }]));
    }
    up_without(site, image, lost).await
}

/// Makes etcd's data on the node that of a cluster of one member. Looks again before: with a quorum, or with a member that has
/// more, nothing is done.
pub(super) async fn revive(site: &Site, node: &NodeName) -> Result<(), RecipeError> {
    let seen = look_at_etcd(site, &[]).await;
    let kept = |why: String| RecipeError::Kept {
        node: node.clone(),
        why,
    };
    if seen.quorum {
        return Err(kept("etcd has a quorum again".to_owned()));
    }
    let own = seen.progress(node);
    let mut others = seen.statuses.keys();
    if let Some(other) = others.find(|other| seen.progress(other) > own) {
        return Err(kept(format!("{other}'s member has more")));
    }
    if let Some(status) = seen.statuses.get(node) {
        site.events.note(format!(
            "etcd goes on with what {node} has, revision {} of term {}: what was acknowledged since is lost. What it had stays \
             there, in /var/lib/etcd/before-restore",
            status.revision, status.term
        ));
    }
    kubeadm::outlive(site, node, "etcdutl snapshot restore", REVIVE).await
}
