//! Nodes of another size: memory and processors are what a machine is made with, so each is made anew.

use crate::image::NodeImage;
use crate::name::NodeName;
use crate::plan::{NodeRole, Plan};
use crate::recipe::act::Run;
use crate::recipe::replace::replace;
use crate::recipe::up::{Outcome, finish, recorded};
use crate::recipe::{RecipeError, Refusal};
use crate::site::Site;

/// Brings the cluster to what the site's plan says, from wherever it is: everything else first, with the sizes that nodes have; then
/// one node after the other leaves as one that is replaced, and comes back with its new size. What each has is on record as soon
/// as it has it, so that a run that is killed goes on. Runs on the lab's runtime.
///
/// # Errors
/// When something fails, or a node is to change its size that cannot be replaced.
pub async fn up(site: &Site, image: &NodeImage) -> Result<Outcome, RecipeError> {
    let recorded = recorded(site)?;
    let others = resized(recorded.as_ref(), &site.plan);
    let Some(recorded) = recorded.filter(|_| !others.is_empty()) else {
        return finish(&Run::new(site, image)).await;
    };
    if let Some(refusal) = only_copy(&others, &site.plan) {
        return Err(RecipeError::Refused(vec![refusal]));
    }
    let mut step = site.clone();
    step.plan = with_sizes_of(&recorded, &site.plan);
    finish(&Run::new(&step, image)).await?;
    for name in &others {
        let wanted = site.plan.node(name);
        let nodes = step.plan.nodes.iter_mut();
        for (node, wanted) in nodes.filter(|node| node.name == *name).zip(wanted) {
            (node.memory, node.cpus) = (wanted.memory, wanted.cpus);
        }
        replace(&step, image, name).await?;
    }
    Ok(Outcome::Changed)
}

/// The nodes that stay and are to have another size, in the plan's order. A load balancer is none of them: nobody would reach the
/// API meanwhile.
pub(super) fn resized(recorded: Option<&Plan>, wanted: &Plan) -> Vec<NodeName> {
    let now = |name| recorded.and_then(|plan| plan.node(name));
    let others = wanted.nodes.iter().filter(|node| {
        let size = (node.memory, node.cpus);
        let differs = now(&node.name).is_some_and(|now| (now.memory, now.cpus) != size);
        differs && node.role != NodeRole::LoadBalancer
    });
    others.map(|node| node.name.clone()).collect()
}

/// The wanted plan, in which nodes have the sizes that they have now.
pub(super) fn with_sizes_of(now: &Plan, wanted: &Plan) -> Plan {
    let mut plan = wanted.clone();
    for node in &mut plan.nodes {
        if let Some(now) = now.node(&node.name) {
            (node.memory, node.cpus) = (now.memory, now.cpus);
        }
    }
    plan
}

/// The only control-plane node cannot leave to come back.
fn only_copy(others: &[NodeName], wanted: &Plan) -> Option<Refusal> {
    let mut nodes = wanted.control_plane();
    let (only, None) = (nodes.next()?, nodes.next()) else {
        return None;
    };
    others.contains(&only.name).then(|| Refusal {
        node: Some(only.name.clone()),
        seen: "its size is another one in the file, and it has the only copy of the cluster's data"
            .to_owned(),
        mend: "have three control-plane nodes in the file, with its size as it is, then `regent up`; then change the size"
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derive::{self, Beside};
    use crate::spec::{ClusterSpec, Driver, Memory};

    fn plan(change: impl FnOnce(&mut ClusterSpec)) -> Plan {
        let mut spec = ClusterSpec::new("demo".parse().unwrap());
        change(&mut spec);
        derive::plan(&spec, Driver::Lxc, Beside::default())
    }

    #[test]
    fn who_stays_and_changes_is_made_anew() {
        let now = plan(|_| {});
        let wanted = plan(|spec| {
            spec.workers.memory = Memory::gib(3);
            spec.workers.count = 3;
            spec.load_balancer.memory = Memory::gib(1);
        });
        let names = |now: Option<&Plan>, wanted: &Plan| -> Vec<String> {
            let names = resized(now, wanted).into_iter();
            names.map(|name| name.to_string()).collect()
        };
        // Who comes has its size at once.
        assert_eq!(names(Some(&now), &wanted), ["w1", "w2"]);
        assert_eq!(names(None, &wanted), [""; 0]);
        assert_eq!(names(Some(&wanted), &wanted), [""; 0]);
        let step = with_sizes_of(&now, &wanted);
        assert_eq!(names(Some(&now), &step), [""; 0]);
        assert_eq!(
            step.node(&"w3".parse().unwrap()).unwrap().memory,
            Memory::gib(3)
        );
    }

    #[test]
    fn the_only_control_plane_node_keeps_its_size() {
        let sized = |count, cpus| {
            plan(|spec| {
                (spec.control_plane.count, spec.control_plane.cpus) = (count, cpus);
            })
        };
        let refused = |now: &Plan, wanted: &Plan| only_copy(&resized(Some(now), wanted), wanted);
        assert!(refused(&sized(1, 2), &sized(1, 4)).is_some());
        assert_eq!(refused(&sized(3, 2), &sized(3, 4)), None);
        assert_eq!(refused(&sized(1, 2), &sized(1, 2)), None);
    }
}
