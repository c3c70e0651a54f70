//! Nodes that are virtual machines: what libvirt does not do for them. Everything here blocks.
//!
//! Below a node's directory: `disk.qcow2`, an overlay over the disk in the store that all nodes share, `credentials`,
//! which QEMU hands to systemd in the guest, and `console.log`.

use std::fs;
use std::sync::OnceLock;
use std::time::Instant;

use camino::Utf8Path;

use super::driver::{self, Driver, Guest, Plug};
use super::host::{gone, make_directory, once, run};
use super::{Boot, Fault, NodeMedia, ProviderError, Strength, console, identity};
use crate::file::write_whole;
use crate::image::MachineImage;
use crate::lab::Place;
use crate::lab::process::{self, ProcessId};
use crate::machine;
use crate::name::{LabId, NodeName};
use crate::plan::{NodePlan, Plan};
use crate::render::libvirt::{self as render, Accelerator, MachineFiles};

type Result<T> = std::result::Result<T, ProviderError>;

/// Virtual machines.
#[derive(Debug, Default)]
pub(super) struct Qemu {
    /// Asked for once: several nodes start at the same time, and finding out may boot a guest.
    accelerator: OnceLock<Accelerator>,
}

impl Driver for Qemu {
    fn prepare(
        &self,
        guest: &Guest<'_>,
        plan: &Plan,
        node: &NodePlan,
        media: &NodeMedia,
    ) -> Result<String> {
        let MachineImage {
            kernel,
            initrd,
            disk,
        } = image(node, media)?;
        let place = guest.place;
        let directory = place.paths.node(&node.name);
        make_directory(&node.name, &directory, 0o755)?;
        write_credentials(&directory.join("credentials"), node, media)?;
        once(&node.name, &directory.join(render::DISK), |partial| {
            make_overlay(place, &node.name, disk, partial)
        })?;
        let accelerator = match self.accelerator.get() {
            Some(accelerator) => *accelerator,
            None => {
                let found = machine::accelerator(&place.paths.state(), kernel, initrd)?;
                *self.accelerator.get_or_init(|| found)
            }
        };
        let machine = render::Machine {
            accelerator,
            kernel: &place.host(kernel),
            initrd: &place.host(initrd),
            files: &MachineFiles::below(&place.node(&node.name)),
        };
        document(&place.id, plan, node, &machine)
    }

    fn clear(&self, _: &NodeName, _: &str) -> Result<()> {
        Ok(())
    }

    fn find(&self, place: &Place, domain: &str) -> Result<Option<ProcessId>> {
        let namespace = driver::namespace(place);
        Ok(process::all().find(|process| {
            names(&process.arguments(), domain) && process.namespace("pid") == namespace
        }))
    }

    /// A SIGKILL is all: the guest's network stack is in the memory that goes, so nothing is said to anyone. Switching
    /// its link off first would let it run on, and store what it has acknowledged, for as long as that takes.
    fn cut(&self, guest: &Guest<'_>, process: ProcessId) -> Result<Instant> {
        let before = Instant::now();
        self.kill(guest.node, guest.domain, process)?;
        Ok(before)
    }

    fn kill(&self, node: &NodeName, _: &str, process: ProcessId) -> Result<()> {
        driver::kill(node, process, || Ok(()))
    }

    fn stop(&self, guest: &Guest<'_>, _: ProcessId) -> Result<()> {
        guest.libvirt.shut_down(guest.domain)
    }

    fn remove_traces(&self, domain: &str) -> Result<()> {
        let log = Utf8Path::new("/var/log/libvirt/qemu").join(format!("{domain}.log"));
        gone(domain, |path| fs::remove_file(path), &log)
    }

    fn plug(&self, guest: &Guest<'_>, plan: &Plan, state: Plug) -> Result<()> {
        plug(guest, plan, state)
    }

    fn strength(&self, fault: Fault) -> Strength {
        strength(fault)
    }

    fn console(&self, guest: &Guest<'_>) -> Option<Vec<u8>> {
        let directory = guest.place.paths.node(guest.node);
        console::end(&directory.join(render::CONSOLE)).ok()
    }
}

/// What a machine boots, if that is what there is to boot.
pub(super) fn image<'a>(node: &NodePlan, media: &'a NodeMedia) -> Result<&'a MachineImage> {
    match &media.boot {
        Boot::Machine(image) => Ok(image),
        Boot::Container { .. } => Err(ProviderError::Media {
            node: node.name.clone(),
            wanted: "machine image",
        }),
    }
}

/// Writes the document of a node's domain.
pub(super) fn document(
    lab: &LabId,
    plan: &Plan,
    node: &NodePlan,
    machine: &render::Machine<'_>,
) -> Result<String> {
    render::qemu_domain(Some(lab), plan, node, machine).map_err(|source| ProviderError::Xml {
        doing: "writing",
        name: node.domain.clone(),
        source,
    })
}

/// Plugs the cable in, or out: libvirt's link state.
pub(super) fn plug(guest: &Guest<'_>, plan: &Plan, state: Plug) -> Result<()> {
    let Some(node) = plan.node(guest.node) else {
        return Ok(());
    };
    let link = match state {
        Plug::In => render::Link::Up,
        Plug::Out => render::Link::Down,
    };
    let device = render::qemu_link(plan, node, link).map_err(|source| ProviderError::Xml {
        doing: "writing",
        name: guest.domain.to_owned(),
        source,
    })?;
    guest.libvirt.change_device(guest.domain, &device)
}

/// How far a fault does to a virtual machine what its name says.
pub(super) fn strength(fault: Fault) -> Strength {
    match fault {
        Fault::PowerCut | Fault::Reset => Strength::Weaker(
            "the guest's memory is gone, but the host keeps its power: what the guest's kernel had handed to its disk survives, synced or not",
        ),
        Fault::Kill => Strength::Weaker(
            "QEMU is asked to end, and the guest runs on until it does; what the guest's kernel had handed to its disk survives, synced or not",
        ),
        // A machine that stands still acknowledges nothing, as one whose hypervisor has stalled.
        Fault::Stop | Fault::Pause | Fault::LinkDown | Fault::SlowDisk => Strength::Full,
    }
}

/// Whether these are the arguments with which libvirt starts the domain's QEMU: `-name guest=DOMAIN,debug-threads=on`.
pub(super) fn names(arguments: &[String], domain: &str) -> bool {
    arguments.windows(2).any(|pair| {
        let guest = pair[1].strip_prefix("guest=");
        pair[0] == "-name" && guest.is_some_and(|guest| guest.split(',').next() == Some(domain))
    })
}

/// Writes what the guest is told about itself. The host key is among it: readable for root only, as all of the lab.
fn write_credentials(directory: &Utf8Path, node: &NodePlan, media: &NodeMedia) -> Result<()> {
    make_directory(&node.name, directory, 0o700)?;
    for (name, content) in identity::credentials(node, media) {
        let file = directory.join(name);
        write_whole(&file, &content, 0o600)
            .map_err(ProviderError::io(&node.name, "writing", &file))?;
    }
    Ok(())
}

/// Makes a disk that shows another one and keeps what is written to it for itself.
fn make_overlay(place: &Place, node: &NodeName, disk: &Utf8Path, overlay: &Utf8Path) -> Result<()> {
    // The name of the disk below stands in the overlay, so it must be the one by which QEMU will find it.
    let (below, directory) = (place.host(disk), place.node(node));
    let overlay = directory.join(overlay.file_name().unwrap_or(render::DISK));
    let arguments = ["create", "-q", "-f", "qcow2", "-F", "raw", "-b"];
    run(
        node,
        place
            .command("qemu-img")
            .args(arguments)
            .args([&below, &overlay]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_s_process_is_known_by_its_whole_name() {
        let arguments =
            |guest: &str| ["/usr/bin/qemu-system-x86_64", "-name", guest, "-S"].map(str::to_owned);
        assert!(names(
            &arguments("guest=demo-m1,debug-threads=on"),
            "demo-m1"
        ));
        assert!(names(&arguments("guest=demo-m1"), "demo-m1"));
        assert!(!names(
            &arguments("guest=demo-m11,debug-threads=on"),
            "demo-m1"
        ));
        assert!(!names(&arguments("demo-m1"), "demo-m1"));
        assert!(!names(&[], "demo-m1"));
    }
}
