//! From names to the plan's and the site's parts.

use crate::name::NodeName;
use crate::node::Node;
use crate::plan::NodePlan;
use crate::recipe::RecipeError;
use crate::site::Site;

/// Returns the session of a node.
pub(super) fn session<'a>(site: &'a Site, name: &NodeName) -> Result<&'a Node, RecipeError> {
    site.node(name).ok_or_else(|| no_such(name))
}

/// Returns the plan of a node.
pub(super) fn planned<'a>(site: &'a Site, name: &NodeName) -> Result<&'a NodePlan, RecipeError> {
    site.plan.node(name).ok_or_else(|| no_such(name))
}

/// Returns the plan of a node that is planned, or on its way out.
pub(super) fn known(site: &Site, name: &NodeName) -> Result<NodePlan, RecipeError> {
    let leaving = leaving(site);
    let mut nodes = site.plan.nodes.iter().chain(&leaving);
    let node = nodes.find(|node| node.name == *name);
    node.cloned().ok_or_else(|| no_such(name))
}

/// Returns the nodes that the cluster was last brought to and that the plan has no more.
pub(super) fn leaving(site: &Site) -> Vec<NodePlan> {
    let recorded = site.lab.record().plan;
    let mut nodes = recorded.map(|plan| plan.nodes).unwrap_or_default();
    nodes.retain(|node| site.plan.node(&node.name).is_none());
    nodes
}

/// The error for a name that is in none of them.
pub(super) fn no_such(name: &NodeName) -> RecipeError {
    RecipeError::Mismatch(format!("no node {name}"))
}
