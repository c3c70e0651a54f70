//! Scenarios of labs: they come, suffer and go, and the machine is as before.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use camino::Utf8Path;
use regent::derive::{self, Beside};
use regent::event::Events;
use regent::image::NodeImage;
use regent::lab::{Lab, LabError};
use regent::provider::{self, DomainState, Fault, ProviderError};
use regent::spec::{ClusterSpec, Connect, Driver};

use crate::cluster::Seen;
use crate::faults;
use crate::lab::{Part, Running, State, holder, planned};
use crate::scenarios::expect;

/// A node boots as planned, a second `enter` changes nothing, `down` leaves nothing.
pub fn a_lab_comes_and_goes(image: &NodeImage) -> Seen {
    // What a libvirt that was killed may have left: in some hierarchies of cgroups, and not in others.
    for hierarchy in ["cpuset", "memory"] {
        let hierarchy = Utf8Path::new("/sys/fs/cgroup").join(hierarchy);
        if hierarchy.is_dir() {
            // Another lab may be at work there, and then nothing is left over.
            let _ = std::fs::create_dir(hierarchy.join("machine"));
        }
    }
    let (state, plan) = (State::new()?, planned("alpha")?);
    let (paths, [first, second]) = (state.lab(&plan), [&plan.nodes[1], &plan.nodes[2]]);
    let running = Running::start(state.path(), &plan, image)?;
    let begun = Instant::now();
    assert!(running.boot(first)?);
    let booted = begun.elapsed();
    assert!(running.boot(second)?);
    assert!(!running.boot(first)?);

    let script = format!(
        "systemctl is-system-running --wait; hostname; cat /proc/1/comm; free -b | awk '/Mem/ {{print $2}}'
         ping -c 1 -W 1 {} >/dev/null && echo neighbour; ip route | grep -c ^10.244",
        second.address
    );
    let said = running.run(first, &script)?;
    let memory = first.memory.0.to_string();
    let expected = ["running", "m1", "systemd", &memory, "neighbour", "4"];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
    // Each has a cgroup root of its own, or they would see each other's units.
    assert!(!running.run(first, "cat /proc/1/cgroup")?.contains("alpha"));

    let found = Lab::find(&paths)?.ok_or("the lab is not found")?;
    assert_eq!(found.libvirt_uri(), running.lab.libvirt_uri());
    match Lab::enter(&paths, &plan, &Events::none()) {
        Err(LabError::Busy { holder, .. }) => {
            assert!(holder.contains(&std::process::id().to_string()));
        }
        other => return Err(format!("a second `enter`: {other:?}").into()),
    }
    drop(running);

    let again = Running::start(state.path(), &plan, image)?;
    assert!(!again.boot(first)?);
    let nodes = [first, second].map(|node| (node.name.clone(), DomainState::Running));
    assert_eq!(again.on(again.provider.nodes())?, nodes);
    again.on(again.provider.remove_node(&second.name))?;
    assert!(!paths.node(&second.name).exists());
    drop(again);

    let took = state.down(&plan)?;
    assert!(Lab::find(&paths)?.is_none());
    state.down(&plan)?;
    state.nothing_is_left()?;
    Ok(format!(
        "a node answered after {booted:.1?}, down took {took:.1?}"
    ))
}

/// Each fault does what its name says, is healed, and is heard of as libvirt tells it.
pub fn faults_bite_and_heal(image: &NodeImage) -> Seen {
    let (state, plan) = (State::new()?, planned("beta")?);
    let [witness, node] = [&plan.nodes[0], &plan.nodes[1]];
    let running = Running::start(state.path(), &plan, image)?;
    running.boot(witness)?;
    running.boot(node)?;
    let mut changes = running.on(running.provider.changes())?;
    let mut identity = running.boot_identity(node)?;
    assert!(identity.is_some());
    // What was synced must survive anything.
    running.run(
        node,
        "echo kept > /var/lib/etcd/proof; echo kept > /etc/proof; sync",
    )?;

    let mut seen = Vec::new();
    for fault in [Fault::PowerCut, Fault::Kill, Fault::Stop, Fault::PowerCut] {
        let took = running.inject(node, fault)?;
        assert_eq!(
            running.boot_identity(node)?,
            None,
            "{fault:?} left PID 1 alive"
        );
        let healed = running.heal(node)?;
        seen.push(format!("{} {took:.0?} + {healed:.1?}", fault.verb()));
        let now = running.boot_identity(node)?;
        assert!(
            now.is_some() && now != identity,
            "{fault:?} did not end in a new boot"
        );
        identity = now;
        let kept = running.run(
            node,
            "cat /var/lib/etcd/proof /etc/proof; ip -4 -o addr show eth0 | wc -l",
        )?;
        assert_eq!(kept, "kept\nkept\n1\n");
    }

    faults::cable(&running, witness, node)?;
    faults::packets(&running, witness, node, Driver::Lxc)?;
    faults::nothing_missing_is_tried(&running, node)?;

    let count = "while :; do n=$((n+1)); echo $n > /var/lib/etcd/next; mv /var/lib/etcd/next /var/lib/etcd/count; sleep 0.01; done";
    running.run(
        node,
        &format!("systemd-run --quiet sh -c '{count}'; sleep 0.1"),
    )?;
    let file = running.lab.paths().node(&node.name).join("var/etcd/count");
    running.inject(node, Fault::Pause)?;
    match running.on(running.provider.inject(&node.name, Fault::Pause)) {
        Err(ProviderError::State {
            state: DomainState::Paused,
            ..
        }) => {}
        other => return Err(format!("pausing a paused node: {other:?}").into()),
    }
    let frozen = std::fs::read_to_string(&file)?;
    // Twenty turns of the loop.
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(
        std::fs::read_to_string(&file)?,
        frozen,
        "a paused node runs on"
    );
    running.heal(node)?;
    let after = running.run(node, "sleep 0.1; cat /var/lib/etcd/count")?;
    assert!(after.trim().parse::<u64>()? > frozen.trim().parse()?);
    assert_eq!(running.boot_identity(node)?, identity);
    // Processes that are frozen cannot even die.
    running.inject(node, Fault::Pause)?;
    running.inject(node, Fault::PowerCut)?;
    // libvirt may still believe that it runs.
    assert!(running.boot(node)?);
    running.inject(node, Fault::Pause)?;

    let mut heard: Vec<_> = std::iter::from_fn(|| Some(changes.try_recv().ok()?.change)).collect();
    // Of a container that libvirt destroys it tells twice if it hears of the end before it has done so itself.
    heard.dedup();
    let expected = "stopped started stopped started stopped started stopped started \
                    suspended resumed suspended stopped defined started suspended";
    assert_eq!(heard.join(" "), expected);

    drop(running);
    state.down(&plan)?;
    state.nothing_is_left()?;
    Ok(seen.join(", "))
}

/// Two labs with the same addresses live side by side; a second lab with the same name does not.
pub fn labs_do_not_see_each_other(image: &NodeImage) -> Seen {
    let (state, elsewhere) = (State::new()?, State::new()?);
    let [one, two] = [planned("gamma")?, planned("delta")?];
    let first = Running::start(state.path(), &one, image)?;
    let second = Running::start(state.path(), &two, image)?;
    assert_eq!(one.nodes[1].address, two.nodes[1].address);
    first.boot(&one.nodes[1])?;
    second.boot(&two.nodes[1])?;
    first.inject(&one.nodes[1], Fault::PowerCut)?;
    second.answers(&two.nodes[1])?;

    match Lab::enter(&elsewhere.lab(&one), &one, &Events::none()) {
        Err(LabError::NameTaken { root, .. }) => assert_eq!(root, state.lab(&one).root()),
        other => return Err(format!("a second lab of the same name: {other:?}").into()),
    }
    // Taking the refused one down must not harm the one that has the name.
    elsewhere.down(&one)?;
    first.heal(&one.nodes[1])?;

    drop(first);
    state.down(&one)?;
    second.answers(&two.nodes[1])?;
    drop(second);
    state.down(&two)?;
    state.nothing_is_left()?;
    Ok("one was cut, healed and removed, the other did not notice".to_owned())
}

/// Daemons that are killed behind our back are missed, and `enter` starts them again; nodes live on.
pub fn dead_daemons_are_started_again(image: &NodeImage) -> Seen {
    let (state, plan) = (State::new()?, planned("epsilon")?);
    let (paths, node) = (state.lab(&plan), &plan.nodes[1]);
    let running = Running::start(state.path(), &plan, image)?;
    running.boot(node)?;
    let identity = running.boot_identity(node)?;

    for daemon in ["libvirtd", "virtlogd"] {
        // Their numbers are those of the lab's own PID namespace.
        let pid = std::fs::read_to_string(paths.libvirt().join(format!("run/{daemon}.pid")))?;
        let target = format!("--target={}", holder(&paths)?);
        let kill = Command::new("nsenter")
            .args([&target, "--pid", "--mount", "kill", "-9", pid.trim()])
            .status()?;
        assert!(kill.success());
    }
    while running.lab.libvirtd_answers() {
        // Killed, and about to go.
        std::thread::sleep(Duration::from_millis(5));
    }
    match running.on(provider::connect(&running.lab, &plan)) {
        Err(ProviderError::DaemonDead) => {}
        other => return Err(format!("connecting to a dead daemon: {other:?}").into()),
    }
    drop(running);

    let again = Running::start(state.path(), &plan, image)?;
    assert!(!again.boot(node)?);
    assert_eq!(again.boot_identity(node)?, identity);
    again.inject(node, Fault::PowerCut)?;
    again.heal(node)?;
    drop(again);
    state.down(&plan)?;
    state.nothing_is_left()?;
    Ok("the node lived on".to_owned())
}

/// In a libvirt that is not ours, only what is ours comes and goes. The machine whose libvirt it is, is another lab.
pub fn case_foreign(image: &NodeImage) -> Seen {
    let (state, plan) = (State::new()?, planned("machine")?);
    let (paths, node) = (state.lab(&plan), &plan.nodes[1]);
    let machine = Running::start(state.path(), &plan, image)?;
    machine.boot(node)?;
    // Somebody else's domains: one with a name that the guest will want, and one that runs under a name like its nodes'.
    let document = paths.root().join("foreign.xml");
    let foreign = |name: &str, init: &str| {
        format!(
            "<domain type='lxc'><name>{name}</name><memory>65536</memory><os><type>exe</type>{init}</os><devices><console type='pty'/></devices></domain>"
        )
    };
    let virsh = |arguments: &[&str]| {
        let uri = machine.lab.libvirt_uri();
        Command::new("virsh")
            .args(["--quiet", "--connect", &uri])
            .args(arguments)
            .output()
    };
    std::fs::write(&document, foreign("guest-m2", "<init>/x</init>"))?;
    assert!(virsh(&["define", document.as_str()])?.status.success());
    let sleep = "<init>/bin/sleep</init><initarg>600</initarg>";
    std::fs::write(&document, foreign("guest-db", sleep))?;
    let created = virsh(&["create", document.as_str()])?;
    expect(created.status.success(), format!("{created:?}"))?;

    // The host's root as the lab sees it.
    let seen = |path: &Utf8Path| format!("/run/host{path}");
    let mut command = Command::new("nsenter");
    command
        .arg(format!("--target={}", holder(&paths)?))
        .args(["--net", "--mount", "--pid"]);
    command.arg(format!("/run/host{}", std::env::current_exe()?.display()));
    let image = NodeImage {
        root: seen(&image.root).into(),
        containerd: seen(&image.containerd).into(),
        machine: None,
        parts: vec![],
    };
    // Temporary files below the lab's directory: its root is the host's, read by name only.
    Part::Guest.set(command.env("TMPDIR", "/run/lab"), "".into(), &image);
    assert!(command.stdin(Stdio::null()).status()?.success());

    machine.answers(node)?;
    assert!(virsh(&["dominfo", "guest-m2"])?.status.success());
    let state_of = virsh(&["domstate", "guest-db"])?;
    expect(
        String::from_utf8_lossy(&state_of.stdout).trim() == "running",
        format!("somebody else's domain lives: {state_of:?}"),
    )?;
    drop(machine);
    state.down(&plan)?;
    // This machine lacks the cgroup2 hierarchy, which libvirt 9 cannot bear beside version 1, so that the guest's own
    // `down` did not see the group that its node had there.
    state.down(&planned("guest")?)?;
    state.nothing_is_left()?;
    Ok("a guest came and went, the machine's own domains stayed".to_owned())
}

/// What runs on the machine of [`case_foreign`].
pub fn guest(image: &NodeImage) -> Seen {
    let state = State::new()?;
    let mut spec = ClusterSpec::new("guest".parse()?);
    spec.hypervisor.connect = Connect::Uri("lxc:///system".to_owned());
    spec.network.cidr = "198.19.0.0/24".parse()?;
    let plan = derive::plan(&spec, Driver::Lxc, Beside::default());
    let node = &plan.nodes[1];
    let running = Running::start(state.path(), &plan, image)?;
    running.boot(node)?;
    running.inject(node, Fault::PowerCut)?;
    running.heal(node)?;
    let known = running.on(running.provider.nodes())?;
    assert_eq!(known, [(node.name.clone(), DomainState::Running)]);
    match running.boot(&plan.nodes[2]) {
        Err(error)
            if error
                .to_string()
                .contains("`guest-m2` that is not regent's") => {}
        other => return Err(format!("a node with somebody else's name: {other:?}").into()),
    }
    drop(running);
    state.down(&plan)?;
    state.nothing_is_left()?;
    Ok(String::new())
}

/// `up` is killed at many moments; `down` always cleans up, and `up` always goes on.
pub fn killed_at_any_moment(image: &NodeImage) -> Seen {
    let (state, plan) = (State::new()?, planned("zeta")?);
    // An undisturbed `up` of three nodes takes about a second.
    let moments: Vec<u64> = (0..1200).step_by(60).collect();
    for (round, moment) in moments.iter().enumerate() {
        let mut command = Command::new(std::env::current_exe()?);
        Part::Up.set(&mut command, state.path(), image);
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::null()).spawn()?;
        std::thread::sleep(Duration::from_millis(*moment));
        child.kill()?;
        child.wait()?;
        if round % 4 == 3 {
            up(image, state.path())?;
        }
        state.down(&plan)?;
        let left = |error| format!("killed after {moment} ms: {error}");
        state.nothing_is_left().map_err(left)?;
    }
    Ok(format!("{} times", moments.len()))
}

/// What [`killed_at_any_moment`] kills.
pub fn up(image: &NodeImage, state: &Utf8Path) -> Seen {
    let plan = planned("zeta")?;
    let running = Running::start(state, &plan, image)?;
    for node in &plan.nodes[..3] {
        running.boot(node)?;
    }
    Ok(String::new())
}
