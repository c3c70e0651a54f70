//! The door to libvirt: every call blocks, and fails with what was done to whom.

use std::ffi::c_int;

use virt::connect::Connect;
use virt::domain::{Domain, DomainState as State};
use virt::error::{Error, ErrorNumber};
use virt::network::Network;

use super::{DomainState, HypervisorError, events, throttle};
use crate::lab::{Place, RemoteHost};
use crate::name::{ClusterName, NodeName};
use crate::render::libvirt as render;

/// A connection. libvirt's are safe to use from several threads at once.
#[derive(Debug)]
pub(super) struct Libvirt {
    pub(super) connect: Connect,
    listener: c_int,
    /// Of a libvirt on another host.
    host: Option<String>,
}

/// Another host that is silent for so many seconds, so many times, is taken for lost: as by SSH.
const KEEPALIVE: (i32, u32) = (5, 3);

type Result<T> = std::result::Result<T, HypervisorError>;

impl Libvirt {
    /// Connects to a lab's, and calls `sink` for every lifecycle event of any domain from now on.
    pub(super) fn at(place: &Place, sink: events::Sink) -> Result<Self> {
        match &place.remote {
            None => Self::open(&place.uri, sink),
            Some(host) => Self::far(host, sink),
        }
    }

    /// The same for another host's.
    pub(super) fn far(host: &RemoteHost, sink: events::Sink) -> Result<Self> {
        let uri = host.uri();
        let mut libvirt = Self::open(&host.libvirt_uri(), sink).map_err(|error| match error {
            // How it is reached from here says nothing to its user.
            HypervisorError::Connect { code, message, .. } => HypervisorError::Connect {
                uri: uri.to_string(),
                code,
                message,
            },
            other => other,
        })?;
        libvirt.host = Some(uri.host().to_owned());
        let (interval, times) = KEEPALIVE;
        libvirt
            .connect
            .set_keep_alive(interval, times)
            .map_err(refused("watching the connection to", uri.host()))?;
        Ok(libvirt)
    }

    pub(super) fn open(uri: &str, sink: events::Sink) -> Result<Self> {
        let failed = |error: Error| HypervisorError::Connect {
            uri: uri.to_owned(),
            code: error.code().to_raw(),
            message: error.message().to_owned(),
        };
        events::start().map_err(failed)?;
        let connect = Connect::open(Some(uri)).map_err(failed)?;
        let listener = events::listen(&connect, sink).map_err(failed)?;
        Ok(Self {
            connect,
            listener,
            host: None,
        })
    }

    /// Defines the network and starts it, as far as that is not so yet.
    pub(super) fn ensure_network(&self, name: &str, document: &str) -> Result<()> {
        let network = match self.network(name)? {
            Some(network) => network,
            None => self
                .connect
                .define_network_xml(document)
                .map_err(refused("defining the network", name))?,
        };
        if !network
            .is_active()
            .map_err(refused("looking at the network", name))?
        {
            network
                .create()
                .map_err(refused("starting the network", name))?;
        }
        Ok(())
    }

    /// Stops and undefines the network, as far as it is there.
    pub(super) fn remove_network(&self, name: &str) -> Result<()> {
        let Some(network) = self.network(name)? else {
            return Ok(());
        };
        if network
            .is_active()
            .map_err(refused("looking at the network", name))?
        {
            network
                .destroy()
                .map_err(refused("stopping the network", name))?;
        }
        network
            .undefine()
            .map_err(refused("undefining the network", name))
    }

    /// Defines the domain; its definition is replaced if it is there already, for the next start.
    pub(super) fn define(&self, name: &str, document: &str) -> Result<()> {
        self.connect
            .define_domain_xml(document)
            .map(drop)
            .map_err(refused("defining", name))
    }

    /// Returns the domain's state.
    pub(super) fn state(&self, name: &str) -> Result<DomainState> {
        match self.domain(name)? {
            Some(domain) => state(&domain, name),
            None => Ok(DomainState::Undefined),
        }
    }

    /// Returns whose the domain is by its tag; none if there is no domain or no tag.
    pub(super) fn owner(&self, name: &str) -> Result<Option<(ClusterName, NodeName)>> {
        let Some(domain) = self.domain(name)? else {
            return Ok(None);
        };
        Ok(render::tag(&document(&domain, name)?))
    }

    /// Returns the host's ends of the running domain's interfaces.
    pub(super) fn interfaces(&self, name: &str) -> Result<Vec<String>> {
        let domain = self
            .connect
            .lookup_domain_by_name(name)
            .map_err(refused("looking for", name))?;
        render::interfaces(&document(&domain, name)?).map_err(|source| HypervisorError::Xml {
            doing: "reading",
            name: name.to_owned(),
            source,
        })
    }

    /// Returns what runs the domain's processors; none for a container.
    pub(super) fn accelerator(&self, name: &str) -> Result<Option<render::Accelerator>> {
        let Some(domain) = self.domain(name)? else {
            return Ok(None);
        };
        render::accelerator(&document(&domain, name)?).map_err(|source| HypervisorError::Xml {
            doing: "reading",
            name: name.to_owned(),
            source,
        })
    }

    /// Returns the domains with the cluster's tag: node, domain name, state.
    pub(super) fn of_cluster(
        &self,
        cluster: &ClusterName,
    ) -> Result<Vec<(NodeName, String, DomainState)>> {
        let mut found = Vec::new();
        let failed = refused("listing the domains of", cluster.as_str());
        for domain in self.connect.list_all_domains(0).map_err(failed)? {
            let name = domain
                .name()
                .map_err(refused("reading a domain of", cluster.as_str()))?;
            if let Some((owner, node)) = render::tag(&document(&domain, &name)?)
                && owner == *cluster
            {
                let state = state(&domain, &name)?;
                found.push((node, name, state));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Whether QEMU is there, and may ask for an accelerator: what that makes of a domain, or why it makes none.
    pub(super) fn offers(
        &self,
        accelerator: render::Accelerator,
    ) -> std::result::Result<(), String> {
        let kind = Some(accelerator.domain_type());
        self.connect
            .domain_capabilities(None, Some("x86_64"), Some("q35"), kind, 0)
            .map(drop)
            .map_err(|error| error.message().to_owned())
    }

    /// As whom QEMU runs, `+UID:+GID`, as far as libvirt says so.
    pub(super) fn qemu_owner(&self) -> Result<Option<String>> {
        let name = self.host.as_deref().unwrap_or("this machine");
        let said = self
            .connect
            .capabilities()
            .map_err(refused("asking after", name))?;
        render::qemu_owner(&said).map_err(|source| HypervisorError::Xml {
            doing: "reading",
            name: name.to_owned(),
            source,
        })
    }

    /// Starts the domain.
    pub(super) fn start(&self, name: &str) -> Result<()> {
        self.with(name, "starting", Domain::create)
    }

    /// Ends the domain at once, as far as libvirt can.
    pub(super) fn destroy(&self, name: &str) -> Result<()> {
        self.with(name, "destroying", Domain::destroy)
    }

    /// Forgets the domain.
    pub(super) fn undefine(&self, name: &str) -> Result<()> {
        self.with(name, "undefining", Domain::undefine)
    }

    /// Presses the domain's power button.
    pub(super) fn shut_down(&self, name: &str) -> Result<()> {
        self.with(name, "shutting down", Domain::shutdown)
    }

    /// Presses the domain's reset button.
    pub(super) fn reset(&self, name: &str) -> Result<()> {
        self.with(name, "resetting", Domain::reset)
    }

    /// Changes a device of the running domain, found by what its document says.
    pub(super) fn change_device(&self, name: &str, document: &str) -> Result<()> {
        self.with(name, "changing", |domain| {
            domain.update_device_flags(document, virt::sys::VIR_DOMAIN_AFFECT_LIVE)
        })
    }

    /// Lets the disk of the running domain answer so many requests a second; 0: as many as it can.
    pub(super) fn throttle(&self, name: &str, requests: u64) -> Result<()> {
        self.with(name, "throttling the disk of", |domain| {
            throttle::disk(domain, render::DISK_TARGET, requests)
        })
    }

    /// Stops the domain's processors.
    pub(super) fn suspend(&self, name: &str) -> Result<()> {
        self.with(name, "suspending", Domain::suspend)
    }

    /// Lets the domain's processors run on.
    pub(super) fn resume(&self, name: &str) -> Result<()> {
        self.with(name, "resuming", Domain::resume)
    }

    /// Says of a call that failed because nobody listens any more that this is why.
    pub(super) fn explained(&self, error: HypervisorError) -> HypervisorError {
        match error {
            HypervisorError::Libvirt {
                doing,
                name,
                message,
                ..
            } if !self.connect.is_alive().unwrap_or(false) => match self.host.clone() {
                None => HypervisorError::DaemonDied {
                    doing,
                    name,
                    message,
                },
                Some(host) => HypervisorError::Lost {
                    host,
                    doing,
                    name,
                    message,
                },
            },
            other => other,
        }
    }

    fn with(
        &self,
        name: &str,
        doing: &'static str,
        act: impl FnOnce(&Domain) -> std::result::Result<(), Error>,
    ) -> Result<()> {
        let domain = self
            .connect
            .lookup_domain_by_name(name)
            .map_err(refused(doing, name))?;
        act(&domain).map_err(refused(doing, name))
    }

    fn domain(&self, name: &str) -> Result<Option<Domain>> {
        absent(
            self.connect.lookup_domain_by_name(name),
            ErrorNumber::NoDomain,
        )
        .map_err(refused("looking for", name))
    }

    fn network(&self, name: &str) -> Result<Option<Network>> {
        absent(
            self.connect.lookup_network_by_name(name),
            ErrorNumber::NoNetwork,
        )
        .map_err(refused("looking for the network", name))
    }
}

impl Drop for Libvirt {
    fn drop(&mut self) {
        events::forget(&self.connect, self.listener);
    }
}

fn document(domain: &Domain, name: &str) -> Result<String> {
    domain.xml_desc(0).map_err(refused("reading", name))
}

fn state(domain: &Domain, name: &str) -> Result<DomainState> {
    let (state, _reason) = domain.state().map_err(refused("looking at", name))?;
    Ok(match state.known() {
        Some(State::Running | State::Blocked | State::Shutdown | State::PMSuspended) => {
            DomainState::Running
        }
        Some(State::Paused) => DomainState::Paused,
        Some(State::Shutoff | State::Crashed | State::NoState) => DomainState::Off,
        // What `virt` makes of a domain that went away between two calls.
        None => DomainState::Undefined,
    })
}

pub(super) fn absent<T>(
    found: std::result::Result<T, Error>,
    number: ErrorNumber,
) -> std::result::Result<Option<T>, Error> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.code() == number.into() => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) fn refused(doing: &'static str, name: &str) -> impl FnOnce(Error) -> HypervisorError {
    let name = name.to_owned();
    move |error| HypervisorError::Libvirt {
        doing,
        name,
        code: error.code().to_raw(),
        message: error.message().to_owned(),
    }
}
