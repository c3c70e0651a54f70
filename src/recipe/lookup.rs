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

/// The error for a name that is in none of them.
pub(super) fn no_such(name: &NodeName) -> RecipeError {
    RecipeError::Mismatch(format!("no node {name}"))
}
