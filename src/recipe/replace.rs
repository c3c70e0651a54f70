//! A node that is sick, replaced by a new one of the same name.

use crate::image::NodeImage;
use crate::name::NodeName;
use crate::plan::NodeRole;
use crate::recipe::act::Run;
use crate::recipe::lookup::planned;
use crate::recipe::up::{drive, recorded, up};
use crate::recipe::{RecipeError, Refusal};
use crate::site::Site;

/// Has a node leave as one that the file has no more, with its disk, and then makes it anew. Killed in between, `up` makes
/// what is missing. Runs on the lab's runtime.
///
/// # Errors
/// When the node is needed: by its pods' disruption budgets, by etcd's quorum, as the only load balancer.
pub async fn replace(site: &Site, image: &NodeImage, node: &NodeName) -> Result<(), RecipeError> {
    if planned(site, node)?.role == NodeRole::LoadBalancer {
        return Err(RecipeError::Refused(vec![Refusal {
            node: Some(node.clone()),
            seen: "it is the only load balancer, and nobody reaches the API without it".to_owned(),
            mend: format!("`regent node cut {node}` and `regent up` boot it anew, from its disk"),
        }]));
    }
    let mut without = site.clone();
    without.plan.nodes.retain(|kept| kept.name != *node);
    let recorded = recorded(site)?;
    drive(&without.plan, recorded.as_ref(), &Run::new(&without, image)).await?;
    up(site, image).await?;
    Ok(())
}
