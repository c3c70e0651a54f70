//! The cluster's file, and where its lab and the store are.

use std::error::Error;

use camino::{Utf8Path, Utf8PathBuf};
use regent::cluster_file::ClusterFile;
use regent::event::Events;
use regent::image::{self, NodeImage};
use regent::lab::LabPaths;
use regent::name::ClusterName;
use regent::plan::Plan;
use regent::spec::{Driver, DriverDecision, Machine};

/// The cluster's file.
pub const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/vmtests/cluster.yaml");

/// Everything that the lab is made of.
pub struct Place {
    pub plan: Plan,
    pub paths: LabPaths,
    pub image: NodeImage,
}

impl Place {
    /// Reads the file and builds what the store lacks.
    pub fn open(events: &Events) -> Result<Self, Box<dyn Error>> {
        let (state, store) = directories();
        let plan = ClusterFile::read(Utf8Path::new(FILE), &Machine::default(), containers)?.plan;
        Ok(Self {
            paths: LabPaths::new(&state, &plan.cluster),
            image: image::realise(&store, plan.kubernetes, plan.driver, events)?,
            plan,
        })
    }

    /// Builds what virtual machines boot, as far as the store lacks it.
    pub fn machine_image(&self, events: &Events) -> Result<NodeImage, Box<dyn Error>> {
        let (_, store) = directories();
        let version = self.plan.kubernetes;
        Ok(image::realise(&store, version, Driver::Qemu, events)?)
    }
}

/// The shared cluster's nodes are containers everywhere, so that its figures can be compared.
fn containers(_: &ClusterName) -> DriverDecision {
    DriverDecision {
        driver: Driver::Lxc,
        reason: "the stories are written for containers".to_owned(),
    }
}

/// The directories of the labs and of the store, as for the program.
pub fn directories() -> (Utf8PathBuf, Utf8PathBuf) {
    let directory = |name, default: &str| {
        std::env::var(name).map_or_else(|_| default.into(), Utf8PathBuf::from)
    };
    (
        directory("REGENT_STATE", "/var/lib/regent"),
        directory("REGENT_STORE", "/var/lib/regent/store"),
    )
}
