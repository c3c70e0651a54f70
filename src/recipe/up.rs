//! The loop: look, decide, act, look again.

use futures::future::try_join_all;

use crate::image::NodeImage;
use crate::lab::LabPaths;
use crate::plan::{Plan, Step};
use crate::recipe::act::Run;
use crate::recipe::{Action, RecipeError, Shape, next, observe};
use crate::site::Site;

/// What a run of [`up`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The cluster was as planned already.
    Unchanged,
    /// It is now.
    Changed,
}

/// From nothing to a cluster takes ten rounds; resets of unfinished nodes add a few. More means that something is
/// undone again and again.
const ROUNDS: u32 = 30;

/// Refuses a plan that the lab's running cluster cannot become, before anything is touched.
pub fn check_reachable(paths: &LabPaths, plan: &Plan) -> Result<(), RecipeError> {
    let Some(now) = Shape::read(&paths.shape())? else {
        return Ok(());
    };
    let unreachable = now.unreachable(&Shape::of(plan));
    if unreachable.is_empty() {
        Ok(())
    } else {
        Err(RecipeError::Changed(unreachable))
    }
}

/// Brings the cluster to what the site's plan says, from wherever it is. Runs on the lab's runtime.
pub async fn up(site: &Site, image: &NodeImage) -> Result<Outcome, RecipeError> {
    check_reachable(site.lab.paths(), &site.plan)?;
    site.hypervisor.ensure_network().await?;
    Shape::of(&site.plan).write(&site.lab.paths().shape())?;
    let run = Run::new(site, image);
    let mut connected = false;
    let mut left = Vec::new();
    for round in 0..ROUNDS {
        let seen = observe(site, run.kubernetes().await?).await?;
        left = next(&site.plan, &seen, connected);
        if left.is_empty() {
            return Ok(if round == 0 {
                Outcome::Unchanged
            } else {
                Outcome::Changed
            });
        }
        try_join_all(left.iter().map(|action| run.act(action))).await?;
        connected |= left.contains(&Action::Step(Step::Connectivity));
    }
    let left: Vec<String> = left.iter().map(ToString::to_string).collect();
    Err(RecipeError::NotConverging {
        rounds: ROUNDS,
        left: left.join(", "),
    })
}
