//! Opening a lab by its name, to look at it or to change it.

use std::sync::Arc;

use camino::Utf8PathBuf;

use super::OpsError;
use crate::lab::{Lab, LabPaths, Record};
use crate::name::NodeName;
use crate::plan::{NodePlan, Plan, Reach, difference};

/// How strongly a lab is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// To look: anybody may do anything meanwhile.
    Look,
    /// To change it: nobody else changes it meanwhile.
    Change,
}

/// A lab that runs, and what is recorded of it.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The lab.
    pub lab: Arc<Lab>,
    /// What is recorded of it.
    pub record: Record,
    /// The plan that stands for what runs.
    pub plan: Plan,
}

/// Opens the running lab at `paths`.
///
/// # Errors
/// When there is none, a file of it is damaged, or somebody else holds it.
pub fn open(paths: &LabPaths, hold: Hold) -> Result<Opened, OpsError> {
    let found = match hold {
        Hold::Look => Lab::find(paths)?,
        Hold::Change => Lab::hold(paths)?,
    };
    let opened = found.and_then(|lab| {
        let record = lab.record();
        let plan = record.running()?.clone();
        Some(Opened {
            lab: Arc::new(lab),
            record,
            plan,
        })
    });
    opened.ok_or_else(|| OpsError::NotRunning(paths.cluster().clone()))
}

impl Opened {
    /// What the nodes are made of, for the evidence.
    pub fn parts(&self) -> Vec<(String, Utf8PathBuf)> {
        let image = self.record.image.as_ref();
        image.map(|image| image.parts.clone()).unwrap_or_default()
    }

    /// As much of a wanted plan as can be looked at: nodes that the lab has a key for.
    pub fn known(&self, wanted: &Plan) -> Plan {
        let hosts = &self.lab.secrets().hosts;
        let mut known = wanted.clone();
        known.nodes.retain(|node| hosts.contains_key(&node.name));
        known
    }

    /// The node of that name, of what runs or of what an `up` that has not ended well was adding.
    pub fn node(&self, name: &NodeName) -> Option<&NodePlan> {
        let target = self.record.target();
        self.plan
            .node(name)
            .or_else(|| target.and_then(|plan| plan.node(name)))
    }

    /// Where what a file asks for differs from what runs, in one line; none where it does not. What stands beside the
    /// file, which is not read for this, is left out.
    pub fn differs(&self, wanted: &Plan) -> Option<String> {
        differs(&self.record, &self.plan, wanted)
    }
}

fn differs(record: &Record, running: &Plan, wanted: &Plan) -> Option<String> {
    let wanted = Plan {
        manifests: running.manifests.clone(),
        patches: running.patches.clone(),
        images: running.images.clone(),
        ..wanted.clone()
    };
    let changes = difference(running, &wanted);
    if changes.is_empty() {
        return record.plan.is_none().then(|| {
            "the cluster has not been brought to what the file says yet: `regent up` goes on"
                .to_owned()
        });
    }
    let way = match changes.iter().all(|change| change.reach == Reach::Up) {
        true => "`regent up` brings it there",
        false => "a running cluster cannot become that",
    };
    let changes: Vec<_> = changes.iter().map(ToString::to_string).collect();
    let changes = changes.join(", ");
    Some(format!("the file differs from what runs: {changes}; {way}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derive::{self, Beside};
    use crate::lab::tests::recorded;
    use crate::spec::{ClusterSpec, Driver, Tuning};

    fn plan(change: impl FnOnce(&mut ClusterSpec)) -> Plan {
        let mut spec = ClusterSpec::new("demo".parse().unwrap());
        change(&mut spec);
        derive::plan(&spec, Driver::Lxc, Beside::default())
    }

    #[test]
    fn the_file_s_wish_is_told_in_one_line() {
        let running = plan(|_| {});
        let record = recorded(Some(&running), None);
        let said = |wanted: &Plan| differs(&record, &running, wanted);
        assert_eq!(said(&running), None);
        let three = plan(|spec| spec.workers.count = 3);
        assert_eq!(
            said(&three).unwrap(),
            "the file differs from what runs: workers.count: 2 → 3; `regent up` brings it there"
        );
        // What the file says of manifests is not known here.
        let mut manifests = running.clone();
        manifests.manifests = vec![("a.yaml".to_owned(), String::new())];
        assert_eq!(said(&manifests), None);
    }

    #[test]
    fn what_runs_is_not_what_another_file_says() {
        let running = plan(|_| {});
        let record = recorded(Some(&running), None);
        let other = plan(|spec| spec.load_balancer.tuning = Tuning::KubeadmDocs);
        let said = differs(&record, &running, &other).unwrap();
        assert!(said.contains("loadBalancer.tuning: fast → kubeadm-docs"));
        assert!(said.ends_with("a running cluster cannot become that"));
        // The plan that counts is the recorded one, with its own budgets.
        assert_eq!(record.running().unwrap().budgets, running.budgets);
    }

    #[test]
    fn a_first_up_that_has_not_ended_is_told_too() {
        let target = plan(|_| {});
        let record = recorded(None, Some(&target));
        let said = differs(&record, record.running().unwrap(), &target).unwrap();
        assert!(said.contains("`regent up` goes on"), "{said}");
    }
}
