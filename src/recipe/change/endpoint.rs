//! The place at which the API servers are reached: their own certificates, kubeconfigs and the cluster's objects name it. In
//! an order in which every client finds one at any time: whoever is asked knows the new name before anybody is sent there.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Action, Facts, Next, Refusal};
use crate::kubernetes::{Named, server};
use crate::plan::{NodePlan, NodeRole, Plan};
use crate::recipe::world::Stage;
use crate::render::kubeadm::sans;
use crate::spec::Endpoint;

/// Back to one node's own address goes only who has no second member: with it clients may be where that node is not.
pub(super) fn no_way_back(facts: &Facts<'_>, next: &mut Next) {
    let Facts { wanted, world, .. } = facts;
    let others = world.etcd.unplanned(&[*wanted]).into_iter();
    let others: Vec<_> = others.map(|member| member.name.as_str()).collect();
    let moved = facts.control_plane().any(|node| !is_pointed(facts, node));
    if wanted.endpoint == Endpoint::None && moved && !others.is_empty() {
        next.refusals.push(Refusal {
            node: None,
            seen: format!(
                "the cluster has moved to a control plane endpoint, and etcd has a further member, {}: from then on there is no way \
                 back to one node's own address",
                others.join(", ")
            ),
            mend: "take `endpoint: none` out of the file, then `regent up` goes on to the end".to_owned(),
        });
    }
}

/// Control-plane nodes themselves. The API server takes a new certificate without a new start.
pub(super) fn serve(facts: &Facts<'_>, next: &mut Next) {
    if let Some(before) = before(facts) {
        let whole = before
            .nodes
            .iter()
            .filter(|node| facts.at(node, Stage::Whole));
        let names = whole.map(|node| &node.name);
        let unsaved = names.filter(|name| !facts.world.saved.contains(*name));
        next.actions.extend(unsaved.cloned().map(Action::Save));
        if !next.actions.is_empty() {
            return;
        }
    }
    let whole = || {
        facts
            .control_plane()
            .filter(|node| facts.at(node, Stage::Whole))
    };
    for node in whole() {
        let names = facts.guest(node).and_then(|guest| guest.sans.as_ref());
        if names.is_some_and(|names| !covers(names, &sans(facts.wanted))) {
            next.actions.push(Action::Certify(node.name.clone()));
        }
    }
    if next.actions.is_empty() {
        let elsewhere = whole().filter(|node| !is_pointed(facts, node));
        next.actions
            .extend(elsewhere.map(|node| Action::Repoint(node.name.clone())));
    }
}

/// What the API says of the place, and workers, one after the other: a kubelet that starts again has its pods unready for a
/// moment.
pub(super) fn announce(facts: &Facts<'_>, next: &mut Next) {
    let Some(api) = facts.world.api.seen() else {
        return;
    };
    if api.endpoint != Named::of(facts.wanted) {
        next.actions.push(Action::Endpoint);
    }
    let mut workers = facts.with(NodeRole::Worker);
    let elsewhere = workers.find(|node| facts.at(node, Stage::Whole) && !is_pointed(facts, node));
    next.actions
        .extend(elsewhere.map(|node| Action::Repoint(node.name.clone())));
}

/// Whether nobody is sent to another place than the planned one, as far as can be seen.
pub(super) fn is_settled(facts: &Facts<'_>) -> bool {
    let api = facts.world.api.seen();
    let named = api.is_none_or(|api| api.endpoint == Named::of(facts.wanted));
    named && facts.nodes().all(|node| is_pointed(facts, node))
}

/// What the cluster was while one node's own address was its endpoint, where it is on its way from there.
fn before<'a>(facts: &Facts<'a>) -> Option<&'a Plan> {
    let plain = facts
        .recorded
        .filter(|plan| plan.endpoint == Endpoint::None);
    plain.filter(|_| facts.wanted.endpoint == Endpoint::LoadBalancer)
}

/// Whether a node's kubeconfigs name the planned place.
fn is_pointed(facts: &Facts<'_>, node: &NodePlan) -> bool {
    let server = server(facts.wanted);
    let guest = facts.guest(node);
    guest.is_none_or(|guest| guest.kubeconfigs.values().all(|named| *named == server))
}

/// Whether a certificate's names are enough.
fn covers(names: &BTreeSet<String>, wanted: &[String]) -> bool {
    let spelt = |name: &str| {
        let address = name.parse::<IpAddr>();
        address.map_or_else(|_| name.to_owned(), |address| address.to_string())
    };
    wanted.iter().all(|name| names.contains(&spelt(name)))
}
