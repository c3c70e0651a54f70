//! The cluster's file, and where its lab and the store are.

use std::error::Error;

use camino::{Utf8Path, Utf8PathBuf};
use regent::cluster_file::ClusterFile;
use regent::event::Events;
use regent::image::{self, NodeImage};
use regent::lab::LabPaths;
use regent::machine::{self, Guests};
use regent::name::ClusterName;
use regent::plan::Plan;
use regent::spec::{Driver, Machine};

/// The cluster's file.
pub const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/vmtests/cluster.yaml");

/// Everything that the lab is made of.
pub struct Place {
    pub plan: Plan,
    pub paths: LabPaths,
    pub image: NodeImage,
}

impl Place {
    /// Reads the file, decides on the kind of nodes as `regent up` would, and builds what the store lacks.
    pub fn open(events: &Events) -> Result<Self, Box<dyn Error>> {
        let (state, store) = directories();
        if machine::guests(&state)? == Guests::Untried {
            let (kernel, initrd) = image::realise_kernel(&store, events)?;
            machine::try_guest(&state, &kernel, &initrd)?;
        }
        let auto = |_: &ClusterName| Ok(machine::guests(&state)?.decision());
        let file = ClusterFile::read(Utf8Path::new(FILE), &Machine::default(), auto)?;
        events.note(format!(
            "nodes are {} ({})",
            file.driver.driver, file.driver.reason
        ));
        Ok(Self {
            paths: LabPaths::new(&state, &file.plan.cluster),
            image: image::realise(&store, file.plan.kubernetes, file.plan.driver, events)?,
            plan: file.plan,
        })
    }

    /// Builds what nodes of a kind boot, as far as the store lacks it.
    pub fn image_of(&self, driver: Driver, events: &Events) -> Result<NodeImage, Box<dyn Error>> {
        let (_, store) = directories();
        let version = self.plan.kubernetes;
        Ok(image::realise(&store, version, driver, events)?)
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
