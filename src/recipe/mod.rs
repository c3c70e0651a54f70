//! The HA recipe: from running nodes to a cluster, by looking ([`observe`]), deciding ([`next`]) and acting, until
//! there is nothing left to do. Every action is idempotent, and what was done is found out by looking, never
//! remembered: killing regent at any point and running it again ends in the same place.

mod act;
mod connectivity;
mod control_plane;
mod decide;
mod error;
pub mod etcd;
mod fingerprint;
mod health;
mod kubeadm;
mod load_balancer;
mod lookup;
mod manifests;
mod observe;
mod setup;
mod shape;
mod status;
mod up;

pub use connectivity::Link;
pub use control_plane::member;
pub use decide::{Action, next};
pub use error::RecipeError;
pub use health::{Check, check as health, servers_up};
pub use observe::{Guest, NodeSeen, Observed, Stage, observe};
pub use shape::{Shape, Unreachable};
pub use status::{NodeStatus, Status, status};
pub use up::{Outcome, check_reachable, up};
