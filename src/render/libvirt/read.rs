//! Readers of what libvirt gives back.

use serde::Deserialize;

use super::Accelerator;
use super::element::{NetworkTag, TAG, Tag};
use crate::name::{ClusterName, LabId, NodeName};
use crate::xml::{self, XmlError};

/// Whose a domain is, by its tag.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// The lab; none where the first regent made it.
    pub lab: Option<LabId>,
    /// Its cluster.
    pub cluster: ClusterName,
    /// The node that the domain is.
    pub node: NodeName,
}

/// Reads the tag from a domain's document; none if no regent made it.
pub fn tag(domain: &str) -> Option<Owner> {
    #[derive(Deserialize)]
    struct Document {
        metadata: Holder,
    }
    #[derive(Deserialize)]
    struct Holder {
        // The prefix is dropped in reading; libvirt keeps ours in any case.
        node: Tag,
    }
    let tag = xml::from_str::<Document>(domain).ok()?.metadata.node;
    (tag.xmlns == TAG).then_some(Owner {
        lab: tag.lab,
        cluster: tag.cluster,
        node: tag.node,
    })
}

/// Reads the lab from a network's document; none if no regent made it, or the first one.
pub fn network_tag(network: &str) -> Option<LabId> {
    #[derive(Deserialize)]
    struct Document {
        metadata: Holder,
    }
    #[derive(Deserialize)]
    struct Holder {
        network: NetworkTag,
    }
    let tag = xml::from_str::<Document>(network).ok()?.metadata.network;
    (tag.xmlns == TAG).then_some(tag.lab)
}

/// Reads the host's ends of a running domain's interfaces from its document.
pub fn interfaces(domain: &str) -> Result<Vec<String>, XmlError> {
    #[derive(Deserialize)]
    struct Document {
        devices: List,
    }
    #[derive(Deserialize)]
    struct List {
        #[serde(default, rename = "interface")]
        interfaces: Vec<Interface>,
    }
    #[derive(Deserialize)]
    struct Interface {
        target: Option<Target>,
    }
    #[derive(Deserialize)]
    struct Target {
        #[serde(rename = "@dev")]
        device: String,
    }
    let document: Document = xml::from_str(domain)?;
    let targets = document
        .devices
        .interfaces
        .into_iter()
        .filter_map(|interface| interface.target);
    Ok(targets.map(|target| target.device).collect())
}

/// Reads what runs a domain's processors; none for a container.
pub fn accelerator(domain: &str) -> Result<Option<Accelerator>, XmlError> {
    #[derive(Deserialize)]
    struct Document {
        #[serde(rename = "@type")]
        kind: String,
    }
    let kind = xml::from_str::<Document>(domain)?.kind;
    Ok([Accelerator::Kvm, Accelerator::Emulated]
        .into_iter()
        .find(|accelerator| accelerator.domain_type() == kind))
}

/// Reads as whom a libvirt runs QEMU, `+UID:+GID`, from what it says of its host; none where it does not say.
pub fn qemu_owner(capabilities: &str) -> Result<Option<String>, XmlError> {
    #[derive(Deserialize)]
    struct Document {
        host: Host,
    }
    #[derive(Deserialize)]
    struct Host {
        #[serde(default, rename = "secmodel")]
        models: Vec<Model>,
    }
    #[derive(Deserialize)]
    struct Model {
        model: String,
        #[serde(default, rename = "baselabel")]
        labels: Vec<Label>,
    }
    #[derive(Deserialize)]
    struct Label {
        #[serde(rename = "$text")]
        owner: String,
    }
    let models = xml::from_str::<Document>(capabilities)?.host.models;
    let owners = models.into_iter().find(|model| model.model == "dac");
    // The same for every kind of domain.
    Ok(owners.and_then(|model| Some(model.labels.into_iter().next()?.owner)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As libvirt gives a document back: with elements of its own, and others' tags.
    fn document(metadata: &str) -> String {
        format!(
            "<domain type='lxc' id='91'>
              <name>demo-m1</name>
              <metadata>{metadata}<x:other xmlns:x='urn:x' name='m1'/></metadata>
              <devices>
                <emulator>/usr/lib/libvirt/libvirt_lxc</emulator>
                <interface type='network'><mac address='52:54:00:00:00:01'/><target dev='vnet0'/></interface>
                <interface type='network'><target dev='vnet2'/></interface>
                <console type='pty' tty='/dev/pts/1'><target type='lxc' port='0'/></console>
              </devices>
            </domain>"
        )
    }

    #[test]
    fn the_tag_is_ours_or_none() {
        let ours = format!("<regent:node xmlns:regent='{TAG}' cluster='demo' name='m1'/>");
        let expected = |lab| Owner {
            lab,
            cluster: "demo".parse().unwrap(),
            node: "m1".parse().unwrap(),
        };
        assert_eq!(tag(&document(&ours)), Some(expected(None)));
        let id = LabId::placeholder();
        let ours = ours.replace("cluster=", &format!("lab='{id}' cluster="));
        assert_eq!(tag(&document(&ours)), Some(expected(Some(id.clone()))));
        // What is no identifier is no tag: it must not pass for one without.
        assert_eq!(tag(&document(&ours.replace(id.as_str(), "0"))), None);
        assert_eq!(tag(&document("")), None);
        assert_eq!(tag(&document(&ours.replace(TAG, "urn:other"))), None);
        assert_eq!(tag(&document(&ours.replace("demo", "../demo"))), None);
        assert_eq!(
            tag("<domain type='lxc'><name>demo-m1</name></domain>"),
            None
        );
    }

    #[test]
    fn a_running_domain_has_the_host_s_ends_of_its_interfaces() {
        assert_eq!(interfaces(&document("")).unwrap(), ["vnet0", "vnet2"]);
        let off = document("").replace("<target dev='vnet0'/>", "");
        assert_eq!(interfaces(&off).unwrap(), ["vnet2"]);
    }

    #[test]
    fn a_domain_s_type_says_what_runs_it() {
        let of =
            |kind: &str| accelerator(&document("").replace("'lxc' id", &format!("'{kind}' id")));
        assert_eq!(of("lxc").unwrap(), None);
        assert_eq!(of("kvm").unwrap(), Some(Accelerator::Kvm));
        assert_eq!(of("qemu").unwrap(), Some(Accelerator::Emulated));
        accelerator("<").unwrap_err();
    }

    #[test]
    fn a_host_says_as_whom_qemu_runs() {
        let host = |models: &str| {
            format!(
                "<capabilities>
                  <host><uuid>0</uuid><cpu><arch>x86_64</arch></cpu>{models}</host>
                  <guest><os_type>hvm</os_type></guest>
                </capabilities>"
            )
        };
        let label = "<baselabel type='kvm'>+64055:+106</baselabel><baselabel type='qemu'>+64055:+106</baselabel>";
        let confined = host(&format!(
            "<secmodel><model>apparmor</model><doi>0</doi></secmodel>
             <secmodel><model>dac</model><doi>0</doi>{label}</secmodel>"
        ));
        assert_eq!(
            qemu_owner(&confined).unwrap().as_deref(),
            Some("+64055:+106")
        );
        assert_eq!(qemu_owner(&host("")).unwrap(), None);
    }
}
