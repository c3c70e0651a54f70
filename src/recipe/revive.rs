//! etcd from what one member has left, after its quorum is lost for good.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::image::NodeImage;
use crate::name::NodeName;
use crate::recipe::act::Run;
use crate::recipe::backup::OpenedBackup;
use crate::recipe::observe::look_at_etcd;
use crate::recipe::up::{Outcome, finish};
use crate::recipe::{RecipeError, Refusal, kubeadm};
use crate::site::Site;

/// Keeps a directory for good, under a name of its own.
pub(super) const KEEP: &str = r#"
keep() {
    kept=$(mktemp -d "/var/lib/regent/before-restore-$(date -u -Idate)-XXXXXX")
    mv "$1" "$kept"
}
# Who died between the exchange and the end has left the old data here, and marked it.
if [ -e /var/lib/etcd/restored/member/before-restore ]; then keep /var/lib/etcd/restored/member; fi
rm -rf /var/lib/etcd/restored
"#;

/// What makes the data of a snapshot that of another cluster than before, whose revisions begin far beyond what any client can
/// have seen.
pub(super) const NEW_CLUSTER: &str =
    "--initial-cluster-token regent-restored --bump-revision 1000000000 --mark-compacted";

/// An etcd that is told to end writes what it has applied into its database first. That becomes the snapshot of a new cluster of
/// one member. Its revisions begin far beyond what any client can have seen from the lost members, and everything before counts
/// as compacted: a watch from then is told so and begins anew, and no controller sees time run backwards (etcd's
/// recommendation: etcd.io, "Restoring with revision bump").
///
/// The two directories change places at once, so that there is always one; the old one is kept for good. API servers must not
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
etcdutl snapshot restore member/snap/db --skip-hash-check --data-dir restored --name $name \
    --initial-cluster $name=$peer --initial-advertise-peer-urls $peer NEW_CLUSTER
touch member/before-restore
sync
mv --exchange --no-target-directory restored/member member
keep restored/member
rm -rf restored
systemctl start kubelet
"#;

/// What etcd went on with: a member, or a member's backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Survivor {
    /// Whose it was.
    pub node: NodeName,
    /// The last revision that it had: what was acknowledged since is lost. None where its etcd did not say.
    pub revision: Option<u64>,
    /// The term in which it had it; none of a backup.
    pub term: Option<u64>,
}

/// What [`restore`] did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// As of [`super::up`].
    pub outcome: Outcome,
    /// What etcd went on with; none where it had its quorum again without that.
    pub survivor: Option<Survivor>,
}

/// Brings a cluster back whose etcd has lost its quorum for good: the members on the nodes of `lost` are given up, and with them
/// what no other has. Nodes that are merely off are started first; where they bring the quorum back, nothing is given up. One
/// whose member does not answer then is ended for certain, its disk is kept, and a new one takes its place. Where nobody has data
/// any more, it comes from the backup. Runs on the lab's runtime.
///
/// # Errors
/// When etcd has a quorum, or a node whose member is lost is not named.
pub async fn restore(
    site: &Site,
    image: &NodeImage,
    lost: &BTreeSet<NodeName>,
    backup: Option<OpenedBackup>,
) -> Result<Restored, RecipeError> {
    if look_at_etcd(site, &[]).await.quorum {
        return Err(RecipeError::Refused(vec![Refusal {
            node: None,
            seen: "etcd has a quorum, and everything that was acknowledged".to_owned(),
            mend: "`regent up` mends what is broken".to_owned(),
        }]));
    }
    let mut run = Run::new(site, image);
    run.lost.clone_from(lost);
    run.backup = backup;
    let outcome = finish(&run).await?;
    Ok(Restored {
        outcome,
        survivor: run.survivor.into_inner(),
    })
}

/// Ends a node whose member is given up, so that it cannot come back with what it has; its disk is kept. Looks again before: not
/// beside a quorum, and not while its member answers.
pub(super) async fn set_aside(site: &Site, node: &NodeName) -> Result<(), RecipeError> {
    let seen = look_at_etcd(site, &[]).await;
    let kept = |why: &str| {
        Err(RecipeError::Kept {
            node: node.clone(),
            why: why.to_owned(),
        })
    };
    if seen.quorum {
        return kept("etcd has a quorum again");
    }
    if seen.statuses.contains_key(node) {
        return kept("its etcd member answers");
    }
    if let Some(disk) = site.provider.set_aside(node).await? {
        site.events.note(format!(
            "{node}: a new one takes its place; its disk is kept in {disk}"
        ));
    }
    Ok(site.lab.fault_reverted(node, None)?)
}

/// Makes etcd's data on the node that of a cluster of one member. Looks again before: with a quorum, or with a member that has
/// more, nothing is done.
pub(super) async fn revive(site: &Site, node: &NodeName) -> Result<Survivor, RecipeError> {
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
    let status = seen.statuses.get(node);
    if let Some(status) = status {
        site.events.note(format!(
            "etcd goes on with what {node} has, revision {} of term {}: what was acknowledged since is lost. What it had stays \
             there, in /var/lib/regent/before-restore-…",
            status.revision, status.term
        ));
    }
    let script = format!("{KEEP}{}", REVIVE.replace("NEW_CLUSTER", NEW_CLUSTER));
    kubeadm::outlive(site, node, "etcdutl snapshot restore", &script).await?;
    Ok(Survivor {
        node: node.clone(),
        revision: status.map(|status| status.revision),
        term: status.map(|status| status.term),
    })
}
