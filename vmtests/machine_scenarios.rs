//! Scenarios of virtual machines, without Kubernetes. Where the processor does not run guests it is emulated.

use std::time::{Duration, Instant};

use futures::FutureExt;
use regent::image::NodeImage;
use regent::lab::Lab;
use regent::provider::{DomainState, Fault, ProviderError};
use regent::spec::Driver;

use crate::cluster::{Cluster, Seen};
use crate::faults;
use crate::lab::{Running, State, planned_control_plane, planned_machines};
use crate::own_cluster;

/// What a guest says of itself.
const WHO: &str = "hostname; systemctl is-system-running --wait; systemctl is-active containerd || true
    ip -4 -o addr show scope global | wc -l; stat -c %a /etc/ssh/ssh_host_ed25519_key; systemd-detect-virt --container || true";

/// Two machines boot with the identity that was planned for them, lose power, stand still, are shut down, and go.
pub fn machines_boot_and_lose_power(image: &NodeImage) -> Seen {
    let (state, plan) = (State::new()?, planned_machines("theta", 1)?);
    let (paths, [balancer, node]) = (state.lab(&plan), [&plan.nodes[0], &plan.nodes[1]]);
    let running = Running::start(state.path(), &plan, image)?;
    let begun = Instant::now();
    assert!(running.switch_on(node)?);
    assert!(running.switch_on(balancer)?);
    // Answering takes the host key that was pinned, and the one that may log in.
    running.answers(node)?;
    let booted = begun.elapsed();
    running.answers(balancer)?;
    let both = begun.elapsed();
    assert!(!running.switch_on(node)?);

    // A load balancer has no pod network, so it runs no containers.
    for (machine, containerd) in [(node, "active"), (balancer, "inactive")] {
        let said = running.run(machine, WHO)?;
        let expected = [
            machine.name.as_str(),
            "running",
            containerd,
            "1",
            "600",
            "none",
        ];
        assert_eq!(said.lines().collect::<Vec<_>>(), expected);
    }
    assert!(faults::hears(&running, balancer, node)?);
    // A kernel of its own, with what was planned of memory and processors.
    let said = running.run(node, "uname -r; nproc; free -m | awk '/Mem/ {print $2}'")?;
    let [kernel, processors, memory] = said.lines().collect::<Vec<_>>()[..] else {
        return Err(format!("what a machine is made of: {said:?}").into());
    };
    assert_ne!(
        kernel,
        std::fs::read_to_string("/proc/sys/kernel/osrelease")?.trim()
    );
    assert_eq!(processors, "1");
    assert!(
        (850..=1024).contains(&memory.parse::<u32>()?),
        "{memory} MiB"
    );
    let accelerator = running.on(running.provider.accelerator(&node.name))?;
    let accelerator = accelerator.ok_or("a machine without processors")?;
    assert_eq!(Lab::driver(&paths)?, Some(Driver::Qemu));

    let mut changes = running.on(running.provider.changes())?;
    let boot = |of| running.run(of, "cat /proc/sys/kernel/random/boot_id");
    let (identity, before) = (running.boot_identity(node)?, boot(node)?);
    assert!(identity.is_some());
    running.run(
        node,
        "echo kept > /var/lib/etcd/proof; sync; echo gone > /run/proof",
    )?;
    let cut = running.inject(node, Fault::PowerCut)?;
    assert_eq!(running.boot_identity(node)?, None, "a cut left QEMU alive");
    let healed = running.heal(node)?;
    assert_ne!(running.boot_identity(node)?, identity);
    assert_ne!(boot(node)?, before);
    let kept = running.run(
        node,
        "hostname; cat /var/lib/etcd/proof; cat /run/proof 2>/dev/null || echo -",
    )?;
    assert_eq!(kept, format!("{}\nkept\n-\n", node.name));

    // Nothing of a paused machine answers, not even its kernel.
    let before = boot(node)?;
    running.inject(node, Fault::Pause)?;
    assert!(!faults::hears(&running, balancer, node)?);
    match running.on(running.provider.inject(&node.name, Fault::Stop)) {
        Err(ProviderError::State {
            state: DomainState::Paused,
            ..
        }) => {}
        other => return Err(format!("stopping a paused machine: {other:?}").into()),
    }
    running.heal(node)?;
    assert_eq!(boot(node)?, before);

    faults::cable(&running, balancer, node)?;
    faults::packets(&running, balancer, node, Driver::Qemu)?;
    faults::machine(&running, node)?;

    let stopped = running.inject(node, Fault::Stop)?;
    assert_eq!(
        running.boot_identity(node)?,
        None,
        "QEMU outlived the shutdown"
    );
    let console = running.on(running.provider.console(&node.name));
    assert!(
        console
            .ok_or("the console said nothing")?
            .contains("Power down")
    );
    let mut heard: Vec<_> = std::iter::from_fn(|| Some(changes.try_recv().ok()?.change)).collect();
    // libvirt starts a machine paused and resumes it.
    heard.retain(|change| *change != "resumed");
    assert_eq!(
        heard,
        ["stopped", "started", "suspended", "shutdown", "stopped"]
    );

    running.on(running.provider.remove_node(&node.name))?;
    assert!(!paths.node(&node.name).exists());
    let left = [(balancer.name.clone(), DomainState::Running)];
    assert_eq!(running.on(running.provider.nodes())?, left);
    drop(running);
    let took = state.down(&plan)?;
    state.nothing_is_left()?;
    Ok(format!(
        "{accelerator}: one answered after {booted:.1?}, both after {both:.1?}; cut {cut:.0?} + {healed:.1?}; shut down {stopped:.1?}; down took {took:.1?}"
    ))
}

/// Emulated on two cores, the node of a new cluster was Ready after 189 s.
const INITIALISED: Duration = Duration::from_secs(600);

/// Emulated on two cores, the API served its data 65 s after the machine was started again.
const SERVES: Duration = Duration::from_secs(360);

/// Stock kubeadm makes a control plane on a machine; its power is cut, and it is there again with what it had stored.
pub fn a_control_plane_loses_power(image: &NodeImage) -> Seen {
    let plan = planned_control_plane("kappa")?;
    own_cluster::run(&plan, image, |cluster| control_plane(cluster).boxed_local())
}

async fn control_plane(cluster: &Cluster) -> Seen {
    let mut nodes = cluster.site.plan.control_plane();
    let node = &nodes.next().ok_or("no such node")?.name;
    let begun = Instant::now();
    // What is left of `up` then is CoreDNS, which takes as long again and says nothing about machines.
    let ready = tokio::select! {
        up = cluster.up() => up.map(|_| begun.elapsed())?,
        ready = cluster.until_ready(node, true, INITIALISED) => ready?,
    };
    cluster.note("kept").await?;
    cluster.cut(node).await?;
    let begun = Instant::now();
    cluster.start(node).await?;
    cluster.until_noted("kept", SERVES).await?;
    let serves = begun.elapsed();
    cluster.until_kubelet_lives(node, SERVES).await?;
    cluster.until_ready(node, true, SERVES).await?;
    let again = begun.elapsed();
    let accelerator = cluster.site.provider.accelerator(node).await?;
    let accelerator = accelerator.ok_or("a machine without processors")?;
    Ok(format!(
        "{accelerator}: Ready after {ready:.0?}; after a power cut its data after {serves:.0?}, Ready after {again:.0?}"
    ))
}
