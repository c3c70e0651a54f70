//! The door to libvirt: every call blocks, and fails with what was done to whom.

use virt::connect::Connect;
use virt::domain::{Domain, DomainState as State};
use virt::error::{Error, ErrorNumber};
use virt::network::Network;

use super::closing::Connection;
use super::{DomainState, ProviderError, events, throttle};
use crate::lab::{Place, RemoteHost};
use crate::name::{LabId, NodeName};
use crate::render::libvirt as render;

/// A connection. libvirt's are safe to use from several threads at once.
#[derive(Debug)]
pub(super) struct Libvirt {
    pub(super) connect: Connection,
    /// Of a libvirt on another host.
    host: Option<String>,
}

/// Another host that is silent for so many seconds, so many times, is taken for lost: as by SSH.
const KEEPALIVE: (i32, u32) = (5, 3);

type Result<T> = std::result::Result<T, ProviderError>;

impl Libvirt {
    /// Connects to a lab's.
    pub(super) fn at(place: &Place) -> Result<Self> {
        match &place.remote {
            None => Self::open(&place.uri),
            Some(host) => Self::far(host),
        }
    }

    /// The same for another host's.
    pub(super) fn far(host: &RemoteHost) -> Result<Self> {
        let uri = host.uri();
        let mut libvirt = Self::open(&host.libvirt_uri()).map_err(|error| match error {
            // How it is reached from here says nothing to its user.
            ProviderError::Connect { code, message, .. } => ProviderError::Connect {
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

    pub(super) fn open(uri: &str) -> Result<Self> {
        let failed = |error: Error| ProviderError::Connect {
            uri: uri.to_owned(),
            code: error.code().to_raw(),
            message: error.message().to_owned(),
        };
        events::start().map_err(failed)?;
        let connect = Connect::open(Some(uri)).map_err(failed)?;
        Ok(Self {
            connect: Connection::new(connect),
            host: None,
        })
    }

    /// Calls `sink` for every lifecycle event of any domain from now on.
    pub(super) fn listen(&self, sink: events::Sink) -> Result<()> {
        let listening = self.connect.listen(sink);
        listening.map_err(refused("listening to", "the domains"))
    }

    /// Defines the lab's network and starts it, as far as that is not so yet.
    pub(super) fn ensure_network(&self, lab: &LabId, name: &str, document: &str) -> Result<()> {
        let network = match self.network(name)? {
            Some(network) if !is_of_lab(&network, lab, name)? => {
                return Err(ProviderError::ForeignNetwork(name.to_owned()));
            }
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

    /// Stops and undefines the network, as far as it is there and the lab's; whether it was not somebody else's.
    pub(super) fn remove_network(&self, lab: &LabId, name: &str) -> Result<bool> {
        let Some(network) = self.network(name)? else {
            return Ok(true);
        };
        if !is_of_lab(&network, lab, name)? {
            return Ok(false);
        }
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
            .map_err(refused("undefining the network", name))?;
        Ok(true)
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
    pub(super) fn owner(&self, name: &str) -> Result<Option<render::Owner>> {
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
        render::interfaces(&document(&domain, name)?).map_err(|source| ProviderError::Xml {
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
        render::accelerator(&document(&domain, name)?).map_err(|source| ProviderError::Xml {
            doing: "reading",
            name: name.to_owned(),
            source,
        })
    }

    /// Returns the domains with the lab's tag: node, domain name, state. Others' domains come and go as they like, also
    /// between two of these calls.
    pub(super) fn of_lab(&self, lab: &LabId) -> Result<Vec<(NodeName, String, DomainState)>> {
        let mut found = Vec::new();
        let failed = refused("listing the domains of lab", lab.as_str());
        for domain in self.connect.list_all_domains(0).map_err(failed)? {
            let name = domain
                .name()
                .map_err(refused("reading a domain of lab", lab.as_str()))?;
            let described = absent(domain.xml_desc(0), ErrorNumber::NoDomain);
            let Some(described) = described.map_err(refused("reading", &name))? else {
                continue;
            };
            if let Some(owner) = render::tag(&described)
                && owner.lab.as_ref() == Some(lab)
            {
                let state = state(&domain, &name)?;
                found.push((owner.node, name, state));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Returns the names of all domains, whoever they belong to.
    pub(super) fn names(&self) -> Result<Vec<String>> {
        let failed = || refused("listing", "all domains");
        let domains = self.connect.list_all_domains(0).map_err(failed())?;
        let names = domains.iter().map(|domain| domain.name().map_err(failed()));
        names.collect()
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
        render::qemu_owner(&said).map_err(|source| ProviderError::Xml {
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
    pub(super) fn explained(&self, error: ProviderError) -> ProviderError {
        match error {
            ProviderError::Libvirt {
                doing,
                name,
                message,
                ..
            } if !self.is_heard() => match self.host.clone() {
                None => ProviderError::DaemonDied {
                    doing,
                    name,
                    message,
                },
                Some(host) => ProviderError::Lost {
                    host,
                    doing,
                    name,
                    message,
                },
            },
            other => other,
        }
    }

    /// Whether somebody answers. A connection whose end has just been noticed counts as open a moment longer; only a call
    /// tells, and this one asks nothing that a libvirt may refuse.
    fn is_heard(&self) -> bool {
        self.connect.is_alive().unwrap_or(false) && self.connect.lib_version().is_ok()
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

/// Whether a network has the lab's tag.
fn is_of_lab(network: &Network, lab: &LabId, name: &str) -> Result<bool> {
    let document = network
        .xml_desc(0)
        .map_err(refused("reading the network", name))?;
    Ok(render::network_tag(&document).as_ref() == Some(lab))
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

pub(super) fn refused(doing: &'static str, name: &str) -> impl FnOnce(Error) -> ProviderError {
    let name = name.to_owned();
    move |error| ProviderError::Libvirt {
        doing,
        name,
        code: error.code().to_raw(),
        message: error.message().to_owned(),
    }
}
