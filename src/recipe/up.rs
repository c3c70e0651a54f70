//! The loop: look, decide, act, look again.

use futures::future::join_all;

use crate::lab::{LabPaths, Record};
use crate::name::NodeName;
use crate::plan::{Change, ENDPOINT, Plan, Reach, difference};
use crate::recipe::act::Run;
use crate::recipe::change::next;
use crate::recipe::world::{RunSoFar, World};
use crate::recipe::{Action, RecipeError, endpoint};
use crate::site::Site;
use crate::spec::Endpoint;

/// What a run of [`up`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The cluster was as planned already, or was on its way there by itself and was waited for.
    Unchanged,
    /// It was brought there.
    Changed,
}

/// From nothing to a cluster takes ten rounds; what is cleared away and joins again adds a few for each node. More means
/// that something is undone again and again.
pub(super) const ROUNDS: u32 = 60;

/// What the loop works on: the site, or in tests a model of it.
pub(super) trait Worked {
    /// What is known before the first look.
    fn begun(&self) -> RunSoFar {
        RunSoFar::default()
    }
    /// Looks.
    async fn look(&self) -> Result<World, RecipeError>;
    /// Carries out an action.
    async fn act(&self, action: &Action) -> Result<(), RecipeError>;
}

/// Refuses a plan that the lab's running cluster cannot become, before anything is touched.
pub fn check_reachable(paths: &LabPaths, wanted: &Plan) -> Result<(), RecipeError> {
    let Some(record) = Record::read(paths)? else {
        return Ok(());
    };
    let unreachable = unreachable(record.plan.as_ref(), record.target(), wanted);
    if unreachable.is_empty() {
        Ok(())
    } else {
        Err(RecipeError::Changed(unreachable))
    }
}

/// Returns what of `wanted` a cluster cannot become that was brought to `recorded`, and perhaps on from there towards
/// `target`. What an `up` that did not end well had added may be taken back.
fn unreachable(recorded: Option<&Plan>, target: Option<&Plan>, wanted: &Plan) -> Vec<Change> {
    let never = |plan: &Plan| -> Vec<Change> {
        let changes = difference(plan, wanted).into_iter();
        changes
            .filter(|change| change.reach == Reach::Never)
            .collect()
    };
    let mut found = recorded.map(never).unwrap_or_default();
    // Its nodes may be there, made as it says; only that they are there is no promise yet.
    let begun = target.map(never).unwrap_or_default();
    for change in begun {
        let begun = change.key.ends_with(".count") || change.key == ENDPOINT;
        if !begun && !found.contains(&change) {
            found.push(change);
        }
    }
    found
}

/// Brings the cluster to what the plan of a run's site says.
pub(super) async fn finish(run: &Run<'_>) -> Result<Outcome, RecipeError> {
    let site = run.site;
    check_reachable(site.lab.paths(), &site.plan)?;
    site.provider.ensure_network().await?;
    let recorded = recorded(site)?;
    let outcome = drive(&site.plan, recorded.as_ref(), run).await?;
    if site.plan.endpoint == Endpoint::None {
        endpoint::forget_saved(site)?;
    }
    site.lab.brought_to(&site.plan)?;
    Ok(outcome)
}

/// The plan that the cluster was last brought to.
pub(super) fn recorded(site: &Site) -> Result<Option<Plan>, RecipeError> {
    Ok(Record::read(site.lab.paths())?.and_then(|record| record.plan))
}

/// Looks, decides and acts until there is nothing left to do. What fails on one node does not keep the others from what
/// they can do without it; all that failed is told at the end.
pub(super) async fn drive(
    wanted: &Plan,
    recorded: Option<&Plan>,
    worked: &impl Worked,
) -> Result<Outcome, RecipeError> {
    let mut run = worked.begun();
    let mut failed = Vec::new();
    let mut left = Vec::new();
    let mut outcome = Outcome::Unchanged;
    for _ in 0..ROUNDS {
        let mut world = worked.look().await?;
        world.run = run.clone();
        let next = next(wanted, recorded, &world);
        if next.actions.is_empty() {
            if !next.refusals.is_empty() {
                failed.push((None, RecipeError::Refused(next.refusals)));
            }
            return match all(failed) {
                Some(error) => Err(error),
                None => Ok(outcome),
            };
        }
        if !next.actions.iter().all(Action::waits) {
            outcome = Outcome::Changed;
        }
        let results = join_all(next.actions.iter().map(|action| worked.act(action))).await;
        let mut hopeless = false;
        for (action, result) in next.actions.iter().zip(results) {
            match (result, action.node()) {
                (Ok(()), node) => {
                    run.after(action);
                    // What had failed on it is over, and so is the node.
                    if matches!(action, Action::SetAside(_)) {
                        failed.retain(|(of, _): &(Option<NodeName>, _)| of.as_ref() != node);
                    }
                }
                (Err(error), Some(node)) => {
                    failed.push((Some(node.clone()), error));
                    run.given_up.insert(node.clone());
                }
                // The whole cluster's: nothing else can follow.
                (Err(error), None) => {
                    failed.push((None, error));
                    hopeless = true;
                }
            }
        }
        if hopeless {
            return Err(all(failed).unwrap_or(RecipeError::Refused(next.refusals)));
        }
        left = next.actions;
    }
    let left: Vec<String> = left.iter().map(ToString::to_string).collect();
    let endless = RecipeError::NotConverging {
        rounds: ROUNDS,
        left: left.join(", "),
    };
    failed.push((None, endless));
    Err(all(failed).unwrap_or_else(|| RecipeError::Refused(Vec::new())))
}

/// All that failed, on whichever node.
fn all(failed: Vec<(Option<NodeName>, RecipeError)>) -> Option<RecipeError> {
    RecipeError::all(failed.into_iter().map(|(_, error)| error).collect())
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;
    use crate::derive::{self, Beside};
    use crate::recipe::change::after_up;
    use crate::recipe::world::Inside;
    use crate::spec::{ClusterSpec, Driver, Memory};

    fn plan(workers: u8, memory: u64) -> Plan {
        let mut spec = ClusterSpec::new("demo".parse().unwrap());
        spec.workers.count = workers;
        spec.load_balancer.memory = Memory::gib(memory);
        derive::plan(&spec, Driver::Lxc, Beside::default())
    }

    /// What was reached is kept, what was only begun can be taken back.
    #[test]
    fn a_growth_that_failed_can_be_taken_back() {
        let (two, three) = (plan(2, 2), plan(3, 2));
        for (recorded, target, wanted, refused) in [
            (None, None, &two, ""),
            (Some(&two), None, &three, ""),
            (Some(&two), Some(&three), &two, ""),
            (None, Some(&three), &two, ""),
            (Some(&three), None, &two, ""),
            (Some(&three), Some(&three), &two, ""),
            (
                Some(&two),
                Some(&three),
                &plan(3, 3),
                "loadBalancer.memory: 2GiB → 3GiB",
            ),
            (
                None,
                Some(&two),
                &plan(2, 3),
                "loadBalancer.memory: 2GiB → 3GiB",
            ),
        ] {
            let found: Vec<_> = unreachable(recorded, target, wanted)
                .iter()
                .map(Change::to_string)
                .collect();
            assert_eq!(found.join("; "), refused);
        }
    }
    /// A world that waiting makes well, and in which something may be left to do.
    struct Late(RefCell<World>);

    impl Worked for Late {
        async fn look(&self) -> Result<World, RecipeError> {
            Ok(self.0.borrow().clone())
        }

        async fn act(&self, action: &Action) -> Result<(), RecipeError> {
            let checks = after_up(&plan(2, 2)).checks;
            let mut world = self.0.borrow_mut();
            match action {
                Action::Settle => world.checks = checks,
                Action::Kubelet(node) => match world.nodes.get_mut(node) {
                    Some(Inside::Answers(guest)) => guest.kubelet = true,
                    other => panic!("{other:?}"),
                },
                other => panic!("{other}"),
            }
            Ok(())
        }
    }

    /// To have waited is not to have changed anything.
    #[tokio::test]
    async fn waiting_is_no_change() {
        let plan = plan(2, 2);
        for (runs, outcome) in [(true, Outcome::Unchanged), (false, Outcome::Changed)] {
            let mut world = after_up(&plan);
            world.checks.clear();
            match world.nodes.get_mut(&"w1".parse().unwrap()) {
                Some(Inside::Answers(guest)) => guest.kubelet = runs,
                other => panic!("{other:?}"),
            }
            let told = drive(&plan, None, &Late(RefCell::new(world))).await;
            assert_eq!(told.unwrap(), outcome);
        }
    }
}
