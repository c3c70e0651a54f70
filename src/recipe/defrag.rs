//! etcd's databases, made as small as what is in them.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::etcd::{Client, client_address};
use crate::event::chain;
use crate::name::NodeName;
use crate::plan::NodePlan;
use crate::recipe::observe::{Patience, client, look_at_etcd};
use crate::recipe::world::Etcd;
use crate::recipe::{RecipeError, Refusal};
use crate::site::Site;

/// A member writes its whole database anew, some ten megabytes a second on a slow disk; etcd advises against more than 8 GB.
const DEFRAGMENT: Duration = Duration::from_secs(900);

/// A member that has answered nobody for so long has much to catch up on, and does within seconds.
const CAUGHT_UP: Duration = Duration::from_secs(60);

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// How far behind the leader a member may be: what is written while it is looked at.
const BEHIND: u64 = 100;

/// What became of a member's database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Defragmented {
    /// The member's node.
    pub node: NodeName,
    /// Bytes before.
    pub before: u64,
    /// Bytes after.
    pub after: u64,
}

/// Has etcd forget its history, and one member after the other give back what it does not need, the leader last; then ends its
/// alarms. Returns what became of each, and how many alarms there were.
///
/// # Errors
/// When the others have no quorum without a member whose turn it is, or it does not come back.
pub async fn defragment(site: &Site) -> Result<(Vec<Defragmented>, usize), RecipeError> {
    let seen = look_at_etcd(site, &[]).await;
    let client = client(site, Patience::to_act(site.plan.driver).etcd).await?;
    let Some(leader) = leader(site, &seen).filter(|_| seen.quorum) else {
        return Err(refused(None, "etcd has no quorum now"));
    };
    let newest = seen
        .statuses
        .get(&leader.name)
        .map_or(0, |status| status.revision);
    client
        .compact(client_address(leader.address), newest)
        .await?;
    let followers = site
        .plan
        .control_plane()
        .filter(|node| node.name != leader.name);
    let mut done = Vec::new();
    for node in followers.chain([leader]) {
        done.push(one(site, &client, node).await?);
    }
    let alarms = client.disarm(client_address(leader.address)).await?;
    Ok((done, alarms))
}

fn leader<'a>(site: &'a Site, seen: &Etcd) -> Option<&'a NodePlan> {
    let leads = |node: &&NodePlan| seen.member(node).is_some_and(|member| seen.leads(member));
    site.plan.control_plane().find(leads)
}

/// One member, while the others have a quorum without it.
async fn one(site: &Site, client: &Client, node: &NodePlan) -> Result<Defragmented, RecipeError> {
    let seen = look_at_etcd(site, &[]).await;
    let member = seen.member(node);
    let member = member.ok_or_else(|| refused(Some(node), "etcd does not count it"))?;
    seen.can_miss(member)
        .map_err(|why| refused(Some(node), &why))?;
    let before = seen
        .statuses
        .get(&node.name)
        .map_or(0, |status| status.size);
    let at = client_address(node.address);
    client.patient(DEFRAGMENT).defragment(at).await?;
    let after = caught_up(client, node, &seen).await?;
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    site.events.note(format!(
        "{}: etcd's database had {:.1} MiB and has {:.1} MiB",
        node.name,
        mib(before),
        mib(after)
    ));
    Ok(Defragmented {
        node: node.name.clone(),
        before,
        after,
    })
}

/// Waits until a member has what the cluster had before; the size of its database then.
async fn caught_up(client: &Client, node: &NodePlan, before: &Etcd) -> Result<u64, RecipeError> {
    let indices = before.statuses.values().map(|status| status.raft_index);
    let wanted = indices.max().unwrap_or(0).saturating_sub(BEHIND);
    let began = Instant::now();
    loop {
        let last = match client.status(client_address(node.address)).await {
            Ok(status) if status.leader != 0 && status.raft_index >= wanted => {
                return Ok(status.size);
            }
            Ok(status) => format!("it is at entry {} of {wanted}", status.raft_index),
            Err(error) => chain(&error),
        };
        if began.elapsed() > CAUGHT_UP {
            return Err(RecipeError::Behind {
                node: node.name.clone(),
                after: began.elapsed(),
                last,
            });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn refused(node: Option<&NodePlan>, why: &str) -> RecipeError {
    RecipeError::Refused(vec![Refusal {
        node: node.map(|node| node.name.clone()),
        seen: format!("etcd is not defragmented now: {why}"),
        mend: "`regent up` brings the other members back first".to_owned(),
    }])
}
