//! The scenario of a lab whose nodes are on another host.

use std::io::ErrorKind;
use std::net::Ipv4Addr;
use std::os::unix::fs::MetadataExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use regent::image::NodeImage;
use regent::lab::Lab;
use regent::provider::{Fault, ProviderError, examine_host};
use regent::spec::RemoteUri;
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::cluster::Seen;
use crate::lab::{Result, Running, State, planned_machines};
use crate::other_host::OtherHost;
use crate::scenarios::expect;

/// A machine is reached, loses power and comes back as one here would, and only images stay behind.
pub fn a_lab_on_another_host(image: &NodeImage) -> Seen {
    let host = OtherHost::start(image)?;
    let state = State::new()?;
    let mut plan = planned_machines("lambda", 1)?;
    plan.connect = host.uri().parse()?;
    let uri: RemoteUri = host.uri().parse()?;
    let node = plan.control_plane().next().ok_or("no node")?.clone();

    // Whoever does not know the host's key does not log in, and nothing is left of the try.
    let refused = examine_host(&uri).map_err(|error| error.to_string());
    expect(
        matches!(&refused, Err(said) if said.contains("Host key verification failed")),
        format!("{refused:?}"),
    )?;
    assert!(Running::start(state.path(), &plan, image).is_err());
    assert!(!state.lab(&plan).root().exists());
    host.make_known()?;
    examine_host(&uri)?;

    let begun = Instant::now();
    let running = Running::start(state.path(), &plan, image)?;
    assert!(running.switch_on(&node)?);
    let sent = begun.elapsed();
    running.answers(&node)?;
    let booted = begun.elapsed();
    assert!(!running.boot(&node)?);
    let who =
        "hostname; stat -c %a /etc/ssh/ssh_host_ed25519_key; systemctl is-system-running --wait";
    assert_eq!(
        running.run(&node, who)?,
        format!("{}\n600\nrunning\n", node.name)
    );

    let disk = image
        .machine
        .as_ref()
        .and_then(|machine| machine.disk.file_name());
    let disk = host.volume(disk.ok_or("no disk")?);
    let (here, there) = (
        std::fs::metadata(&image.machine.as_ref().ok_or("no disk")?.disk)?,
        std::fs::metadata(&disk)?,
    );
    assert_eq!(here.len(), there.len());
    // Holes are not sent.
    expect(
        there.blocks() * 512 < 3 << 30,
        format!("{} blocks", there.blocks()),
    )?;

    // What nobody listens to is refused, and soon.
    let (kind, took) = knock(&running, node.address, 6443)?;
    assert_eq!(kind, Some(ErrorKind::ConnectionReset));
    expect(
        took < Duration::from_secs(2),
        format!("refused after {took:.1?}"),
    )?;
    commands(&state, &uri)?;
    // One `ssh` for all, and another where it was ended.
    let logins = host.logins();
    expect(logins.len() == 1, format!("{logins:?}"))?;
    Command::new("kill")
        .args(["-9", &logins[0].to_string()])
        .status()?;
    running.answers(&node)?;
    match running.on(running.provider.nodes()) {
        Err(ProviderError::Lost { .. }) => {}
        other => return Err(format!("a connection that ended: {other:?}").into()),
    }
    drop(running);
    let running = Running::start(state.path(), &plan, image)?;

    running.run(
        &node,
        "echo kept > /var/lib/etcd/proof; sync; echo gone > /run/proof",
    )?;
    let identity = running.boot_identity(&node)?.ok_or("no identity")?;
    let pid = identity.split('@').next().ok_or("no pid")?;
    assert!(host.runs(pid));
    let cut = running.inject(&node, Fault::PowerCut)?;
    assert!(!host.runs(pid), "a cut left QEMU alive");
    assert_eq!(running.boot_identity(&node)?, None);
    // Silent or reset, but not a word.
    knock(&running, node.address, 22)?;

    let healing = Instant::now();
    assert!(running.switch_on(&node)?);
    running.answers(&node)?;
    let healed = healing.elapsed();
    assert_ne!(running.boot_identity(&node)?, Some(identity));
    let kept = running.run(
        &node,
        "cat /var/lib/etcd/proof; cat /run/proof 2>/dev/null || echo -",
    )?;
    assert_eq!(kept, "kept\n-\n");
    // The node was prepared anew, and the image was there.
    assert_eq!(std::fs::metadata(&disk)?.ino(), there.ino());
    let console = running.on(running.provider.console(&node.name));
    assert!(console.is_some(), "the console says nothing");

    running.inject(&node, Fault::Pause)?;
    running.heal(&node)?;
    drop(running);
    assert!(host.logins().is_empty(), "a login outlived its lab");

    let took = state.down(&plan)?;
    let volumes = host.volumes()?;
    expect(
        volumes.len() == 3,
        format!("volumes that stay: {volumes:?}"),
    )?;
    for name in [&node.domain, &plan.network.name] {
        assert!(!host.has_defined(name), "{name} stays");
    }
    assert!(Lab::find(&state.lab(&plan))?.is_none());
    state.nothing_is_left()?;
    host.end()?;
    Ok(format!(
        "images sent and tried in {sent:.1?}, answered after {booted:.1?}; cut {cut:.0?} + {healed:.1?}; down took {took:.1?}"
    ))
}

/// Connects to a port of a node as from here, and waits for a first word: how that ended, and after how long. None if
/// nothing was heard for three seconds.
fn knock(running: &Running, address: Ipv4Addr, port: u16) -> Result<(Option<ErrorKind>, Duration)> {
    let begun = Instant::now();
    let heard = running.within(async move {
        let mut stream = TcpStream::connect((address, port)).await?;
        stream.read_u8().await
    });
    match heard? {
        Some(Ok(byte)) => Err(format!("port {port} said {byte}").into()),
        Some(Err(error)) => Ok((Some(error.kind()), begun.elapsed())),
        None => Ok((None, begun.elapsed())),
    }
}

/// The commands that a user has, from a process of their own.
fn commands(state: &State, uri: &RemoteUri) -> Result {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("cluster.yaml");
    let text = format!(
        "apiVersion: regent/v1\nname: lambda\ncontrolPlane: {{count: 1}}\nworkers: {{count: 1}}\nhypervisor: {{connect: \"{uri}\"}}\n"
    );
    std::fs::write(&file, text)?;
    let regent = |arguments: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_regent"))
            .arg("-f")
            .arg(&file)
            .args(arguments)
            .env("REGENT_STATE", state.path())
            .output()
    };
    let output = regent(&["ssh", "m1", "hostname"])?;
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "m1\n",
        "{output:?}"
    );
    let output = regent(&["exec", "--", "sh", "-c", "exit 7"])?;
    assert_eq!(output.status.code(), Some(7), "{output:?}");
    Ok(())
}
