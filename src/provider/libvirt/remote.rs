//! Virtual machines on another host: its libvirt keeps their files, and a shell there does what libvirt does not.
//! Everything here blocks.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use camino::Utf8PathBuf;

use super::connection::Libvirt;
use super::driver::{Driver, Guest, Plug};
use super::storage::Pool;
use super::{DomainState, Fault, NodeMedia, ProviderError, Strength, console, identity, qemu};
use crate::event::Events;
use crate::image::MachineImage;
use crate::lab::process::{ProcessId, started};
use crate::lab::{Place, RemoteError, RemoteHost};
use crate::machine;
use crate::name::{ClusterName, LabId, NodeName};
use crate::plan::{NodePlan, Plan};
use crate::render::libvirt::{self as render, Accelerator, MachineFiles, volume};
use crate::spec::RemoteUri;

type Result<T> = std::result::Result<T, ProviderError>;

/// A guest of some MB takes one or two seconds to its first process; the rest is for a busy host.
const TRIAL: Duration = Duration::from_secs(15);

/// Virtual machines on another host.
#[derive(Debug)]
pub(super) struct RemoteQemu {
    host: Arc<RemoteHost>,
    /// Held while files are made there: images are sent and the accelerator is found out once for all nodes, and libvirt
    /// does not look through a pool while it makes a volume in it.
    accelerator: Mutex<Option<Accelerator>>,
}

impl RemoteQemu {
    pub(super) fn new(host: &Arc<RemoteHost>) -> Self {
        Self {
            host: Arc::clone(host),
            accelerator: Mutex::new(None),
        }
    }
}

impl Driver for RemoteQemu {
    fn prepare(
        &self,
        guest: &Guest<'_>,
        plan: &Plan,
        node: &NodePlan,
        media: &NodeMedia,
    ) -> Result<String> {
        let image = qemu::image(node, media)?;
        let (libvirt, host) = (guest.libvirt, &*self.host);
        let mut known = self
            .accelerator
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let pool = Pool::ensure(libvirt, host)?;
        let send = |image| pool.ensure_image(image, &plan.cluster);
        let there = MachineImage {
            kernel: send(&image.kernel)?,
            initrd: send(&image.initrd)?,
            disk: send(&image.disk)?,
        };
        let accelerator = match *known {
            Some(accelerator) => accelerator,
            None => self.find_accelerator(guest, plan, &there)?,
        };
        *known = Some(accelerator);

        let own = |name| volume::of_domain(&node.domain, name);
        pool.ensure_overlay(&own(render::DISK), &image.disk, &there.disk)?;
        for (name, content) in identity::credentials(node, media) {
            pool.write_secret(&own(name), &content)?;
        }
        let machine = render::Machine {
            accelerator,
            kernel: &there.kernel,
            initrd: &there.initrd,
            files: &MachineFiles::volumes(&node.domain),
        };
        qemu::document(&guest.place.id, plan, node, &machine)
    }

    fn clear(&self, _: &NodeName, _: &str) -> Result<()> {
        Ok(())
    }

    /// The number that libvirt has written down there, if it is still that of this domain's QEMU.
    fn find(&self, _: &Place, domain: &str) -> Result<Option<ProcessId>> {
        let script = format!(
            "pid=$(cat /run/libvirt/qemu/{domain}.pid) && stat=$(cat /proc/$pid/stat) || exit 0
             echo $pid; echo \"$stat\"; tr '\\0' '\\n' </proc/$pid/cmdline"
        );
        let said = self.host.run("looking for a machine's process", &script)?;
        Ok(process(&said, domain))
    }

    /// As for a machine here, but the SIGKILL travels there first, so that the cut is a little after what is returned.
    fn cut(&self, guest: &Guest<'_>, process: ProcessId) -> Result<Instant> {
        let before = Instant::now();
        self.kill(guest.node, guest.domain, process)?;
        Ok(before)
    }

    fn kill(&self, node: &NodeName, _: &str, process: ProcessId) -> Result<()> {
        let ProcessId { pid, started } = process;
        // Nothing but what the shell does itself, until the signal is sent. Field 3 of `stat` is the state, 20 the number
        // of threads, 22 the start. A dead process that nobody has waited for has state Z, as has one whose first thread
        // ended before the others, which run guests.
        let script = format!(
            "lives() {{
                 read -r stat </proc/{pid}/stat && set -- ${{stat##*) }} && [ \"${{20}}\" = {started} ] &&
                     {{ [ \"$1\" != Z ] || [ \"${{18}}\" -gt 1 ]; }}
             }}
             lives && kill -9 {pid}
             n=0; while lives; do [ $n -lt 500 ] || exit 1; n=$((n+1)); sleep 0.02; done; exit 0"
        );
        match self.host.run("killing a machine", &script) {
            Ok(_) => Ok(()),
            Err(RemoteError::Refused { .. }) => Err(ProviderError::Unkillable {
                node: node.clone(),
                pid,
            }),
            Err(error) => Err(error.into()),
        }
    }

    fn stop(&self, guest: &Guest<'_>, _: ProcessId) -> Result<()> {
        guest.libvirt.shut_down(guest.domain)
    }

    fn remove(&self, guest: &Guest<'_>) -> Result<()> {
        let own = volume::of_domain(guest.domain, "");
        match Pool::find(guest.libvirt, &self.host)? {
            Some(pool) => pool.remove_all(|name| name.starts_with(&own)),
            None => Ok(()),
        }
    }

    /// libvirt can copy a volume and cannot rename one.
    fn can_set_aside(&self, node: &NodeName) -> Result<()> {
        Err(ProviderError::Missing {
            node: node.clone(),
            action: "set aside",
            why: "on another host its disk cannot be kept; save it there, then remove its domain and volume with `virsh`",
        })
    }

    fn remove_traces(&self, domain: &str) -> Result<()> {
        let script = format!("rm -f /var/log/libvirt/qemu/{domain}.log");
        self.host.run("removing a machine's log", &script)?;
        Ok(())
    }

    fn sweep(&self, libvirt: &Libvirt, cluster: &ClusterName, network: &str) -> Result<()> {
        if let Some(pool) = Pool::find(libvirt, &self.host)? {
            // A volume is its domain's; ours are gone, so one that is still there is another lab's.
            let domains = libvirt.names()?;
            let is_taken = |name: &str| {
                let domain = name.split_once('.').map(|(domain, _)| domain);
                domain.is_some_and(|domain| domains.iter().any(|known| known == domain))
            };
            pool.remove_all(|name| volume::is_of_cluster(name, cluster) && !is_taken(name))?;
        }
        let script = format!("cd /run/libvirt/network && rmdir {network}/ports {network} || true");
        self.host
            .run("removing what is left of a network", &script)?;
        Ok(())
    }

    fn plug(&self, guest: &Guest<'_>, plan: &Plan, state: Plug) -> Result<()> {
        qemu::plug(guest, plan, state)
    }

    fn strength(&self, fault: Fault) -> Strength {
        qemu::strength(fault)
    }

    fn console(&self, guest: &Guest<'_>) -> Option<Vec<u8>> {
        let log = MachineFiles::volumes(guest.domain).console;
        let script = format!("tail -c {} {log}", console::BYTES);
        let said = self.host.run("reading a console", &script).ok()?;
        Some(said.into_bytes())
    }
}

impl RemoteQemu {
    /// What runs the cluster's processors there: what runs those that it has, else what a trial shows.
    fn find_accelerator(
        &self,
        guest: &Guest<'_>,
        plan: &Plan,
        image: &MachineImage,
    ) -> Result<Accelerator> {
        let (libvirt, lab) = (guest.libvirt, &guest.place.id);
        let trial = trial_name();
        for (node, domain, _) in libvirt.of_lab(lab)? {
            if node != trial
                && let Some(accelerator) = libvirt.accelerator(&domain)?
            {
                return Ok(accelerator);
            }
        }
        let boots = match libvirt.offers(Accelerator::Kvm) {
            Ok(()) => self.try_guest((libvirt, lab), plan, &trial, image)?,
            Err(why) => Err(why),
        };
        let Err(why) = boots else {
            return Ok(Accelerator::Kvm);
        };
        let host = self.host.uri().host();
        self.host.events().warn(format!(
            "processors are emulated on {host}, at a tenth of the speed or less: {why}"
        ));
        Ok(Accelerator::Emulated)
    }

    /// Boots a tiny guest: that a host offers KVM proves little, also there. Why it does not boot, as a clause.
    fn try_guest(
        &self,
        (libvirt, lab): (&Libvirt, &LabId),
        plan: &Plan,
        name: &NodeName,
        image: &MachineImage,
    ) -> Result<std::result::Result<(), String>> {
        let domain = format!("{}-{name}", plan.cluster);
        let machine = render::Machine {
            accelerator: Accelerator::Kvm,
            kernel: &image.kernel,
            initrd: &image.initrd,
            files: &MachineFiles::volumes(&domain),
        };
        let document = render::trial_domain(Some(lab), plan, name, &machine).map_err(|source| {
            ProviderError::Xml {
                doing: "writing",
                name: domain.clone(),
                source,
            }
        })?;
        let console = &machine.files.console;
        let forget = || -> Result<()> {
            // One of an earlier lab of that name was left behind; what no regent made is nobody's to remove.
            let owner = libvirt.owner(&domain)?;
            let ours = owner.is_some_and(|owner| owner.cluster == plan.cluster);
            if !ours && libvirt.state(&domain)? != DomainState::Undefined {
                return Err(ProviderError::Foreign {
                    node: name.clone(),
                    domain: domain.clone(),
                });
            }
            if libvirt.state(&domain)?.is_active() {
                libvirt.destroy(&domain)?;
            }
            if libvirt.state(&domain)? != DomainState::Undefined {
                libvirt.undefine(&domain)?;
            }
            let script = format!("rm -f {console} /var/log/libvirt/qemu/{domain}.log");
            self.host.run("removing a trial's logs", &script)?;
            Ok(())
        };
        // One that was interrupted.
        forget()?;
        self.host.events().note(format!(
            "booting a small guest on {}, to see whether its processor runs it",
            self.host.uri().host()
        ));
        libvirt.define(&domain, &document)?;
        let started = libvirt.start(&domain);
        let deadline = Instant::now() + TRIAL;
        // Paused is how QEMU leaves a guest whose processor cannot go on.
        while started.is_ok()
            && libvirt.state(&domain)? == DomainState::Running
            && Instant::now() < deadline
        {
            // Ten looks a second at a domain that lives for a second or two.
            std::thread::sleep(Duration::from_millis(100));
        }
        let script = format!("tail -c {} {console}", console::BYTES);
        let said = self.host.run("reading a trial's console", &script);
        forget()?;
        Ok(match (started, said) {
            (Err(error), _) => Err(error.to_string()),
            (Ok(()), Ok(said)) if said.contains(machine::WORD) => Ok(()),
            _ => Err("it offers KVM, but a guest does not boot".to_owned()),
        })
    }
}

/// The name of a trial's domain, as if it were a node.
fn trial_name() -> NodeName {
    #[expect(clippy::expect_used, reason = "a literal that is a name")]
    "trial".parse().expect("a name")
}

/// Reads a process from its number, its `/proc/PID/stat`, and its arguments, a line each; none if it is dead, or another.
fn process(said: &str, domain: &str) -> Option<ProcessId> {
    let mut lines = said.lines();
    let pid = lines.next()?.parse().ok()?;
    let started = started(lines.next()?)?;
    let arguments: Vec<_> = lines.map(str::to_owned).collect();
    qemu::names(&arguments, domain).then_some(ProcessId { pid, started })
}

/// Looks whether another host has all that machines need, without changing anything; what was found, in words.
///
/// # Errors
/// When it cannot be reached, or lacks something.
pub fn examine_host(uri: &RemoteUri) -> Result<String> {
    let directory = Utf8PathBuf::try_from(std::env::temp_dir()).unwrap_or_else(|_| "/tmp".into());
    let host = RemoteHost::log_in(uri, &[], &directory, &Events::none())?;
    let libvirt = Libvirt::far(&host)?;
    libvirt
        .offers(Accelerator::Emulated)
        .map_err(|message| ProviderError::NoQemu {
            host: uri.host().to_owned(),
            message,
        })?;
    let root = "+0:+0";
    if let Some(owner) = libvirt.qemu_owner()?.filter(|owner| owner != root) {
        let host = uri.host().to_owned();
        return Err(ProviderError::QemuOwner { host, owner });
    }
    let images = match Pool::find(&libvirt, &host)? {
        Some(_) => "with a pool of regent's",
        None => "without a pool of regent's yet",
    };
    Ok(format!("libvirt at {uri} runs QEMU, {images}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_there_is_known_by_number_start_and_name() {
        let stat = "(qemu-system-x86) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        let arguments = "/usr/bin/qemu-system-x86_64\n-name\nguest=demo-m1,debug-threads=on\n-S\n";
        let said = format!("12\n12 {stat}\n{arguments}");
        let found = ProcessId {
            pid: 12,
            started: 4711,
        };
        assert_eq!(process(&said, "demo-m1"), Some(found));
        assert_eq!(process(&said, "demo-m11"), None);
        assert_eq!(process(&said.replace(") S", ") Z"), "demo-m1"), None);
        assert_eq!(process("cat: no such file\n", "demo-m1"), None);
        assert_eq!(process("", "demo-m1"), None);
    }
}
