//! A lab that exists: entered, found again, taken down.

use crate::event::Events;
use crate::lab::LabPaths;
use crate::plan::Plan;

/// A lab that exists on this machine.
#[derive(Debug)]
pub struct Lab {
    paths: LabPaths,
}

/// Why a lab could not be entered, found or taken down.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabError {
    /// Placeholder until the module is written.
    #[error("not written yet")]
    Unwritten,
}

impl Lab {
    /// Makes the lab exist (directory, secrets, namespaces, daemon) and takes its lock. Idempotent.
    pub fn enter(_paths: &LabPaths, _plan: &Plan, _events: &Events) -> Result<Self, LabError> {
        unimplemented!()
    }

    /// Finds the lab, if it exists and is alive, without changing it and without its lock.
    pub fn find(_paths: &LabPaths) -> Result<Option<Self>, LabError> {
        unimplemented!()
    }

    /// Takes the lab down, whatever state it is in: from names, not from memory. Nothing of it is left. Idempotent.
    pub fn down(_paths: &LabPaths, _events: &Events) -> Result<(), LabError> {
        unimplemented!()
    }

    /// The lab's paths.
    pub fn paths(&self) -> &LabPaths {
        &self.paths
    }

    /// The lab's secrets.
    pub fn secrets(&self) -> &super::Secrets {
        unimplemented!()
    }

    /// The URI of the lab's libvirt.
    pub fn libvirt_uri(&self) -> String {
        unimplemented!()
    }

    /// A tokio runtime whose threads stand in the lab's network namespace; what runs on it reaches the nodes.
    pub fn runtime(&self) -> Result<tokio::runtime::Runtime, LabError> {
        unimplemented!()
    }

    /// A command that will run inside the lab's network namespace.
    pub fn command(&self, _program: &str) -> std::process::Command {
        unimplemented!()
    }

    /// Puts the calling thread into the lab's network namespace for the rest of its life.
    pub fn enter_network(&self) -> Result<(), LabError> {
        unimplemented!()
    }
}
