//! A provider in memory, for tests: nodes are states, and whoever made it is told when one starts or ends.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;
use std::time::Instant;

use camino::Utf8PathBuf;
use futures::FutureExt;
use tokio::sync::broadcast;

use super::{
    Answer, DomainChange, DomainState, Fault, NodeMedia, Provider, ProviderError, Strength,
};
use crate::name::NodeName;
use crate::plan::NodePlan;

/// What became of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It has power.
    Started,
    /// It has none.
    Ended,
    /// Its disk is gone.
    Removed,
}

/// Told of what becomes of nodes.
type Told = Box<dyn Fn(&NodeName, Fate) + Send + Sync>;

/// Nodes that can be made, started, cut and removed; nothing else can be done to them.
pub(crate) struct Memory {
    nodes: Mutex<BTreeMap<NodeName, (DomainState, u64)>>,
    told: Told,
    changes: broadcast::Sender<DomainChange>,
}

impl Memory {
    pub(crate) fn new(told: impl Fn(&NodeName, Fate) + Send + Sync + 'static) -> Self {
        Self {
            nodes: Mutex::default(),
            told: Box::new(told),
            changes: broadcast::Sender::new(64),
        }
    }

    fn state(&self, node: &NodeName) -> DomainState {
        let nodes = self.nodes.lock().unwrap();
        nodes
            .get(node)
            .map_or(DomainState::Undefined, |(state, _)| *state)
    }

    /// Brings a node to a state; returns whether that changed anything.
    pub(crate) fn bring(&self, node: &NodeName, state: DomainState) -> bool {
        let mut nodes = self.nodes.lock().unwrap();
        let entry = nodes
            .entry(node.clone())
            .or_insert((DomainState::Undefined, 0));
        if entry.0 == state {
            return false;
        }
        let runs = state == DomainState::Running;
        *entry = (state, entry.1 + u64::from(runs));
        drop(nodes);
        (self.told)(node, if runs { Fate::Started } else { Fate::Ended });
        // Nobody listening is fine.
        let _ = self.changes.send(DomainChange {
            at: Instant::now(),
            node: node.clone(),
            change: if runs { "started" } else { "stopped" },
            state,
        });
        true
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Memory({:?})", self.nodes.lock().unwrap())
    }
}

impl Provider for Memory {
    fn ensure_network(&self) -> Answer<'_, ()> {
        async { Ok(()) }.boxed()
    }

    fn ensure_node<'a>(&'a self, node: &'a NodePlan, _: &'a NodeMedia) -> Answer<'a, bool> {
        async { Ok(self.bring(&node.name, DomainState::Running)) }.boxed()
    }

    fn remove_node<'a>(&'a self, node: &'a NodeName) -> Answer<'a, ()> {
        async {
            self.bring(node, DomainState::Off);
            self.nodes.lock().unwrap().remove(node);
            (self.told)(node, Fate::Removed);
            Ok(())
        }
        .boxed()
    }

    fn set_aside<'a>(&'a self, node: &'a NodeName) -> Answer<'a, Option<Utf8PathBuf>> {
        async {
            self.remove_node(node).await?;
            Ok(None)
        }
        .boxed()
    }

    fn nodes(&self) -> Answer<'_, Vec<(NodeName, DomainState)>> {
        async {
            let nodes = self.nodes.lock().unwrap();
            let states = nodes
                .iter()
                .map(|(node, (state, _))| (node.clone(), *state));
            Ok(states.collect())
        }
        .boxed()
    }

    fn changes(&self) -> Answer<'_, broadcast::Receiver<DomainChange>> {
        async { Ok(self.changes.subscribe()) }.boxed()
    }

    fn boot_identity<'a>(&'a self, node: &'a NodeName) -> Answer<'a, Option<String>> {
        async {
            let nodes = self.nodes.lock().unwrap();
            let booted = nodes.get(node);
            let lives = booted.filter(|(state, _)| *state == DomainState::Running);
            Ok(lives.map(|(_, boots)| boots.to_string()))
        }
        .boxed()
    }

    fn heal<'a>(&'a self, node: &'a NodeName) -> Answer<'a, ()> {
        async {
            if self.state(node) == DomainState::Off {
                self.bring(node, DomainState::Running);
            }
            Ok(())
        }
        .boxed()
    }

    fn strength(&self, fault: Fault) -> Strength {
        match fault {
            Fault::PowerCut => Strength::Full,
            _ => Strength::Missing("a node in memory can only lose its power"),
        }
    }

    fn inject<'a>(&'a self, node: &'a NodeName, fault: Fault) -> Answer<'a, Instant> {
        async move {
            if let Strength::Missing(why) = self.strength(fault) {
                return Err(ProviderError::Missing {
                    node: node.clone(),
                    action: fault.verb(),
                    why,
                });
            }
            let state = self.state(node);
            if state != DomainState::Running {
                return Err(ProviderError::State {
                    node: node.clone(),
                    state,
                    action: fault.verb(),
                });
            }
            let before = Instant::now();
            self.bring(node, DomainState::Off);
            Ok(before)
        }
        .boxed()
    }
}
