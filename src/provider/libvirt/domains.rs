//! What is done to domains, one call after the other. Everything blocks.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use camino::Utf8PathBuf;
use tokio::sync::broadcast;

use super::connection::Libvirt;
use super::driver::{self, Driver, Guest, Plug};
use super::{DomainChange, DomainState, Fault, NodeMedia, ProviderError, SLOW_DISK, Strength};
use crate::lab::Place;
use crate::name::NodeName;
use crate::plan::{NodePlan, Plan};
use crate::spec;

type Result<T> = std::result::Result<T, ProviderError>;

/// What a connection to a lab's libvirt works on.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) place: Place,
    pub(super) plan: Plan,
    pub(super) libvirt: Libvirt,
    pub(super) driver: Box<dyn Driver>,
    pub(super) changes: broadcast::Sender<DomainChange>,
    /// Held during a start. Concurrent ones make libvirt's cgroup for all machines together, and where one of them fails
    /// libvirt removes it with the still empty groups of the others (virCgroupNewPartition in its vircgroup.c). Seen once:
    /// `Unable to write to '…/cpuset/machine/lxc-104-vmtest-w2.libvirt-lxc/tasks'`.
    pub(super) starting: Mutex<()>,
}

impl Inner {
    pub(super) fn domain(&self, node: &NodeName) -> String {
        format!("{}-{node}", self.plan.cluster)
    }

    /// Makes the node's domain exist and run; true if it had to be started.
    pub(super) fn ensure(&self, node: &NodePlan, media: &NodeMedia) -> Result<bool> {
        match self.libvirt.state(&node.domain)? {
            DomainState::Undefined => {}
            state => {
                self.check_owner(&node.name)?;
                match state {
                    DomainState::Running => return Ok(false),
                    DomainState::Paused => return self.libvirt.resume(&node.domain).map(|()| true),
                    DomainState::Undefined | DomainState::Off => {}
                }
            }
        }
        let guest = self.guest(&node.name, &node.domain);
        let document = self.driver.prepare(&guest, &self.plan, node, media)?;
        self.libvirt.define(&node.domain, &document)?;
        self.driver.clear(&node.name, &node.domain)?;
        self.start(&node.domain)?;
        Ok(true)
    }

    fn start(&self, domain: &str) -> Result<()> {
        let _alone = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        self.libvirt.start(domain)
    }

    pub(super) fn remove(&self, node: &NodeName) -> Result<()> {
        let domain = self.domain(node);
        let guest = self.ended(node, &domain)?;
        self.driver.remove(&guest)
    }

    pub(super) fn set_aside(&self, node: &NodeName) -> Result<Option<Utf8PathBuf>> {
        self.driver.can_set_aside(node)?;
        let domain = self.domain(node);
        let guest = self.ended(node, &domain)?;
        self.driver.set_aside(&guest)
    }

    /// A node that has neither a domain nor a process any more.
    fn ended<'a>(&'a self, node: &'a NodeName, domain: &'a str) -> Result<Guest<'a>> {
        let guest = self.guest(node, domain);
        if self.libvirt.state(domain)? != DomainState::Undefined {
            self.check_owner(node)?;
            remove_domain(&*self.driver, &guest)?;
        }
        self.driver.end(&guest)?;
        Ok(guest)
    }

    /// Applies the fault; returns the instant before it.
    pub(super) fn inject(&self, node: &NodeName, fault: Fault) -> Result<Instant> {
        if let Strength::Missing(why) = self.driver.strength(fault) {
            return Err(ProviderError::Missing {
                node: node.clone(),
                action: fault.verb(),
                why,
            });
        }
        let domain = self.domain(node);
        let state = self.libvirt.state(&domain)?;
        let refused = ProviderError::State {
            node: node.clone(),
            state,
            action: fault.verb(),
        };
        let Some(process) = self.driver.find(&self.place, &domain)? else {
            return Err(refused);
        };
        // Only a cut needs nobody in the node, or in libvirt, to act.
        let alive = state == DomainState::Running
            || (state == DomainState::Paused && fault == Fault::PowerCut);
        if !alive {
            return Err(refused);
        }
        self.check_owner(node)?;
        let guest = self.guest(node, &domain);
        let before = Instant::now();
        match fault {
            Fault::PowerCut => return self.driver.cut(&guest, process),
            Fault::Kill => {
                self.libvirt.destroy(&domain)?;
                // libvirt kills what it finds in its own cgroups, and a container has left those.
                self.driver.kill(node, &domain, process)?;
            }
            Fault::Stop => self.driver.stop(&guest, process)?,
            Fault::Pause => self.libvirt.suspend(&domain)?,
            Fault::LinkDown => self.driver.plug(&guest, &self.plan, Plug::Out)?,
            Fault::Reset => self.libvirt.reset(&domain)?,
            Fault::SlowDisk => self.libvirt.throttle(&domain, SLOW_DISK)?,
        }
        Ok(before)
    }

    pub(super) fn heal(&self, node: &NodeName) -> Result<()> {
        let domain = self.domain(node);
        self.check_owner(node)?;
        match self.libvirt.state(&domain)? {
            DomainState::Running => self.unimpair(node, &domain),
            DomainState::Paused => {
                self.libvirt.resume(&domain)?;
                self.unimpair(node, &domain)
            }
            DomainState::Off => {
                self.driver.clear(node, &domain)?;
                self.start(&domain)
            }
            state @ DomainState::Undefined => Err(ProviderError::State {
                node: node.clone(),
                state,
                action: "start",
            }),
        }
    }

    /// Undoes what a running node may suffer from. A node that is started begins without it.
    fn unimpair(&self, node: &NodeName, domain: &str) -> Result<()> {
        let guest = self.guest(node, domain);
        self.driver.plug(&guest, &self.plan, Plug::In)?;
        match self.driver.strength(Fault::SlowDisk) {
            Strength::Missing(_) => Ok(()),
            // 0: as many as it can.
            Strength::Full | Strength::Weaker(_) => self.libvirt.throttle(domain, 0),
        }
    }

    pub(super) fn guest<'a>(&'a self, node: &'a NodeName, domain: &'a str) -> Guest<'a> {
        Guest {
            place: &self.place,
            libvirt: &self.libvirt,
            node,
            domain,
        }
    }

    fn check_owner(&self, node: &NodeName) -> Result<()> {
        let domain = self.domain(node);
        match self.libvirt.owner(&domain)? {
            Some(owner) if owner.lab.as_ref() == Some(&self.place.id) => Ok(()),
            _ => Err(ProviderError::Foreign {
                node: node.clone(),
                domain,
            }),
        }
    }
}

/// Whether the libvirt at a URI takes connections.
pub(crate) fn answers(uri: &str) -> Result<()> {
    Libvirt::open(uri).map(drop)
}

/// Removes every domain with the lab's tag, and its network, from a libvirt that is not the lab's own. What else has such a
/// name stays.
pub(crate) fn sweep(place: &Place, driver: spec::Driver) -> Result<()> {
    let cluster = place.paths.cluster();
    let driver = driver::of(driver, place);
    let libvirt = Libvirt::at(place)?;
    for (node, domain, _) in libvirt.of_lab(&place.id)? {
        let guest = Guest {
            place,
            libvirt: &libvirt,
            node: &node,
            domain: &domain,
        };
        remove_domain(&*driver, &guest)?;
    }
    let network = format!("regent-{cluster}");
    match libvirt.remove_network(&place.id, &network)? {
        true => driver.sweep(&libvirt, cluster, &network),
        false => Ok(()),
    }
}

fn remove_domain(driver: &dyn Driver, guest: &Guest<'_>) -> Result<()> {
    let Guest {
        place,
        libvirt,
        node,
        domain,
    } = *guest;
    // libvirt's own way takes two seconds and ends in the same.
    if let Some(process) = driver.find(place, domain)? {
        driver.kill(node, domain, process)?;
    }
    if libvirt.state(domain)?.is_active()
        && let Err(error) = libvirt.destroy(domain)
        && libvirt.state(domain)?.is_active()
    {
        // It had not ended by itself meanwhile.
        return Err(error);
    }
    if place.holder.is_none() {
        driver.remove_traces(domain)?;
    }
    // Last: a domain that is still defined is how an interrupted removal is found again.
    libvirt.undefine(domain)
}
