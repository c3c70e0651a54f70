//! The HA recipe: from running nodes to a cluster, by looking ([`observe`]: the [`World`]), deciding ([`next`], pure) and
//! acting, until there is nothing left to do. Every action is idempotent, and what was done is found out by looking, never
//! remembered: killing regent at any point and running it again ends in the same place.

mod act;
mod addons;
mod backup;
mod change;
mod connectivity;
mod control_plane;
mod defrag;
mod drain;
mod endpoint;
mod error;
mod failpoint;
mod fingerprint;
mod health;
mod images;
mod kubeadm;
mod load_balancer;
mod lookup;
mod manifests;
mod membership;
mod observe;
mod preview;
mod recover;
mod replace;
mod resize;
mod revive;
mod setup;
mod status;
mod up;
#[cfg(test)]
mod without_lab;
mod world;

pub use backup::{Backup, BackupError, OpenedBackup, back_up};
pub use change::{Action, Next, Refusal, next, steps};
pub use connectivity::Link;
pub use control_plane::member;
pub use defrag::{Defragmented, defragment};
pub use error::RecipeError;
pub use health::{Check, check as health};
pub use load_balancer::servers_up;
pub use observe::{Patience, observe};
pub use preview::{Preview, preview};
pub use replace::replace;
pub use resize::up;
pub use revive::{Restored, Survivor, restore};
pub use status::{Backups, Expiry, NodeStatus, Status, status};
pub use up::{Outcome, check_reachable};
pub use world::{Api, ApiSeen, Etcd, Guest, Inside, Kubeadm, Kubeconfig, RunSoFar, Stage, World};
