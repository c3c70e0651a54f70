//! A node that is sick, replaced by a new one of the same name.

use crate::image::NodeImage;
use crate::name::NodeName;
use crate::plan::NodeRole;
use crate::recipe::act::Run;
use crate::recipe::lookup::planned;
use crate::recipe::up::{Worked, drive, finish, recorded};
use crate::recipe::world::World;
use crate::recipe::{Action, RecipeError, Refusal};
use crate::site::Site;

/// A site that a node leaves to come back. What the cluster lacks without it, the new one brings: nothing waits for that
/// meanwhile.
struct Without<'a>(Run<'a>);

impl Worked for Without<'_> {
    async fn look(&self) -> Result<World, RecipeError> {
        let mut world = self.0.look().await?;
        for check in &mut world.checks {
            check.missing = None;
        }
        Ok(world)
    }

    async fn act(&self, action: &Action) -> Result<(), RecipeError> {
        self.0.act(action).await
    }
}

/// Has a node leave as one that the file has no more, with its disk, and then makes it anew. Killed in between, `up` makes
/// what is missing. Runs on the lab's runtime.
///
/// # Errors
/// When the node is needed: by its pods' disruption budgets, by etcd's quorum, as a load balancer.
pub async fn replace(site: &Site, image: &NodeImage, node: &NodeName) -> Result<(), RecipeError> {
    let role = planned(site, node)?.role;
    let others = site.plan.nodes.iter().filter(|other| other.role == role);
    let only = others.count() == 1;
    let refused = |seen: &str, mend: String| {
        Err(RecipeError::Refused(vec![Refusal {
            node: Some(node.clone()),
            seen: seen.to_owned(),
            mend,
        }]))
    };
    match role {
        NodeRole::LoadBalancer => {
            return refused(
                "nobody reaches the API without a load balancer",
                format!("`regent node cut {node}` and `regent up` boot it anew, from its disk"),
            );
        }
        NodeRole::ControlPlane if only => {
            return refused(
                "it has the only copy of the cluster's data",
                "have more control-plane nodes in the file, then `regent up`, then replace it"
                    .to_owned(),
            );
        }
        _ => {}
    }
    let mut without = site.clone();
    without.plan.nodes.retain(|kept| kept.name != *node);
    let recorded = recorded(site)?;
    let run = Without(Run::new(&without, image));
    drive(&without.plan, recorded.as_ref(), &run).await?;
    finish(&Run::new(site, image)).await?;
    Ok(())
}
