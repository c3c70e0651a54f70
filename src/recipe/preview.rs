//! What `up` would do, without doing it.

use std::fmt;

use serde::Serialize;
use serde::ser::{SerializeMap, SerializeSeq, Serializer};

use crate::plan::Plan;
use crate::recipe::act;
use crate::recipe::change::{self, Refusal, next};
use crate::recipe::resize::{resized, with_sizes_of};
use crate::recipe::up::{check_reachable, recorded};
use crate::recipe::world::World;
use crate::recipe::{Action, RecipeError};
use crate::site::Site;

/// What [`up`](super::up()) would do, and what it would not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Preview {
    /// Round by round, as far as it can be foreseen; the actions of a round are done at the same time.
    #[serde(serialize_with = "rounds")]
    pub rounds: Vec<Vec<Action>>,
    /// What it would refuse now.
    #[serde(serialize_with = "words")]
    pub refusals: Vec<Refusal>,
}

impl Preview {
    /// From nothing.
    pub fn of_first(wanted: &Plan) -> Self {
        Self::from(wanted, None, &World::default())
    }

    fn from(wanted: &Plan, recorded: Option<&Plan>, world: &World) -> Self {
        let mut step = match recorded {
            Some(now) => with_sizes_of(now, wanted),
            None => wanted.clone(),
        };
        let refusals = next(&step, recorded, world).refusals;
        let mut after = world.clone();
        let mut rounds = change::foresee(&step, recorded, &mut after);
        // Who is to have another size leaves and comes back.
        for name in resized(recorded, wanted) {
            let before = step.clone();
            step.nodes.retain(|node| node.name != name);
            rounds.extend(change::foresee(&step, Some(&before), &mut after));
            step = before;
            let nodes = step.nodes.iter_mut().zip(&wanted.nodes);
            for (node, wanted) in nodes.filter(|(node, _)| node.name == name) {
                node.clone_from(wanted);
            }
            rounds.extend(change::foresee(&step, Some(&step), &mut after));
        }
        Self { rounds, refusals }
    }
}

/// What [`up`](super::up()) would do for this plan. Looks at the nodes of the site, of which `wanted` may have more;
/// changes nothing.
///
/// # Errors
/// When the running cluster cannot become that, or libvirt does not answer.
pub async fn preview(site: &Site, wanted: &Plan) -> Result<Preview, RecipeError> {
    check_reachable(site.lab.paths(), wanted)?;
    let recorded = recorded(site)?;
    let world = act::look(site).await?;
    Ok(Preview::from(wanted, recorded.as_ref(), &world))
}

impl fmt::Display for Preview {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, round) in (1..).zip(&self.rounds) {
            for (at, action) in round.iter().enumerate() {
                match at {
                    0 => write!(f, "{number:>3}  ")?,
                    _ => f.write_str("     ")?,
                }
                f.write_str(&action.describe())?;
                match action.destroys() {
                    Some(what) => writeln!(f, "  (destroys {what})")?,
                    None => writeln!(f)?,
                }
            }
        }
        for refusal in &self.refusals {
            writeln!(f, "  !  {refusal}")?;
        }
        if self.rounds.is_empty() && self.refusals.is_empty() {
            writeln!(f, "the cluster is as planned, nothing is to be done")?;
        }
        Ok(())
    }
}

fn rounds<S: Serializer>(rounds: &[Vec<Action>], serializer: S) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(Some(rounds.len()))?;
    for round in rounds {
        let round: Vec<_> = round.iter().map(Described).collect();
        list.serialize_element(&round)?;
    }
    list.end()
}

/// An action as programs read it.
struct Described<'a>(&'a Action);

impl Serialize for Described<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(action) = self;
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("action", action.name())?;
        map.serialize_entry("node", &action.node())?;
        map.serialize_entry("does", &action.describe())?;
        map.serialize_entry("destroys", &action.destroys())?;
        map.end()
    }
}

fn words<S: Serializer>(refusals: &[Refusal], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(refusals.iter().map(ToString::to_string))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derive::{self, Beside};
    use crate::recipe::change::after_up;
    use crate::spec::{ClusterSpec, Driver, Memory};

    fn plan(workers: u8) -> Plan {
        let mut spec = ClusterSpec::new("demo".parse().unwrap());
        spec.workers.count = workers;
        derive::plan(&spec, Driver::Lxc, Beside::default())
    }

    #[test]
    fn a_preview_is_what_is_still_to_do() {
        let (two, three) = (plan(2), plan(3));
        let world = after_up(&two);
        let nothing = Preview::from(&two, Some(&two), &world);
        assert_eq!(
            nothing.to_string(),
            "the cluster is as planned, nothing is to be done\n"
        );
        let text = Preview::from(&three, Some(&two), &world).to_string();
        assert!(text.starts_with("  1  w3: start\n"), "{text}");
        assert!(text.contains("w3: kubeadm join, as worker"), "{text}");
        assert!(!text.contains("m1: kubeadm"), "{text}");
    }

    #[test]
    fn who_is_to_have_another_size_leaves_and_comes_back() {
        let mut spec = ClusterSpec::new("demo".parse().unwrap());
        spec.workers.memory = Memory::gib(3);
        let wanted = derive::plan(&spec, Driver::Lxc, Beside::default());
        let now = plan(2);
        let text = Preview::from(&wanted, Some(&now), &after_up(&now)).to_string();
        let at = |what: &str| {
            text.find(what)
                .unwrap_or_else(|| panic!("{what} in {text}"))
        };
        let order = [
            "w1: cordon",
            "w1: remove",
            "w1: start",
            "w1: kubeadm join",
            "w2: cordon",
            "w2: kubeadm join",
        ];
        assert!(order.map(at).is_sorted(), "{text}");
        assert!(!text.contains("m1: kubeadm"), "{text}");
    }

    #[test]
    fn programs_read_it_action_by_action() {
        let first = serde_json::to_value(Preview::of_first(&plan(0))).unwrap();
        assert_eq!(first["rounds"][0][0]["action"], "start");
        assert_eq!(first["rounds"][0][0]["node"], "lb1");
        assert_eq!(first["rounds"][0][0]["destroys"], serde_json::Value::Null);
        assert_eq!(first["refusals"], serde_json::json!([]));
    }
}
