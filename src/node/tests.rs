//! Against an SSH server in this process that runs commands with this machine's shell, behind a relay that can
//! cut or silence the connection.

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::sshd::Sshd;
use super::*;
use crate::sha256::Sha256;

/// What becomes of connections through the relay.
#[derive(Clone, Copy, PartialEq)]
enum Weather {
    Fair,
    /// Packets vanish, as in a power cut.
    Silent,
    /// Connections are reset, as in a reboot.
    Cut,
}

struct Machine {
    node: Node,
    weather: watch::Sender<Weather>,
    /// How many commands the server has started.
    commands: watch::Receiver<usize>,
    connections: Arc<AtomicUsize>,
    _sshd: Sshd,
}

async fn relay(from: TcpStream, to: SocketAddrV4, mut weather: watch::Receiver<Weather>) {
    let (mut from, mut to) = (from, TcpStream::connect(to).await.unwrap());
    let done = tokio::select! {
        _ = copy_bidirectional(&mut from, &mut to) => true,
        _ = weather.wait_for(|w| *w != Weather::Fair) => false,
    };
    if !done && *weather.borrow() == Weather::Silent {
        // Both sockets stay open and nobody reads them.
        std::future::pending::<()>().await;
    }
}

async fn listen() -> (TcpListener, SocketAddrV4) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let std::net::SocketAddr::V4(address) = listener.local_addr().unwrap() else {
        unreachable!()
    };
    (listener, address)
}

fn name() -> crate::name::NodeName {
    "m1".parse().unwrap()
}

async fn machine() -> Machine {
    let client = KeyPair::generate("client").unwrap();
    let host = KeyPair::generate("m1").unwrap();
    machine_with(&client, &host, &client.public, &host).await
}

/// A machine that shows `shown` and lets `authorized` in, and a node that uses `client` and expects `host`.
async fn machine_with(
    client: &KeyPair,
    host: &KeyPair,
    authorized: &str,
    shown: &KeyPair,
) -> Machine {
    let (server, inner) = listen().await;
    let (count, commands) = watch::channel(0);
    let shell = Arc::new(|line: &str| {
        let mut shell = tokio::process::Command::new("sh");
        shell.args(["-c", line]);
        (!line.contains("vanish")).then_some(shell)
    });
    let sshd = Sshd::serve(server, shown, authorized, shell, Arc::new(count));
    let (outside, address) = listen().await;
    let (weather, forecast) = watch::channel(Weather::Fair);
    let connections = Arc::new(AtomicUsize::new(0));
    let made = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let (stream, _) = outside.accept().await.unwrap();
            made.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(relay(stream, inner, forecast.clone()));
        }
    });
    Machine {
        node: Node::at(&name(), address, client, host).unwrap(),
        weather,
        commands,
        connections,
        _sshd: sshd,
    }
}

fn failure(error: NodeError) -> CommandError {
    match error {
        NodeError::Command(error) => *error,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn a_script_has_status_and_both_streams() {
    let m = machine().await;
    let script = "echo out; echo err >&2; cat; if [ -n x ]; then exit 7; fi";
    let output = m.node.script(script).output().await.unwrap();
    assert_eq!(output.status, 7);
    assert_eq!(output.stdout, b"out\n");
    assert_eq!(output.stderr, b"err\n");

    let error = failure(
        m.node
            .script(format!("# why\n{script}"))
            .run()
            .await
            .unwrap_err(),
    );
    assert_eq!(error.failure, CommandFailure::Status(7));
    assert_eq!(
        error.to_string(),
        "m1: `echo out; echo err >&2; cat; if [ -n x ]; then exit 7; fi` ended with status 7\n  \
         stderr:\n    err\n  stdout:\n    out"
    );

    m.node
        .script("false\necho unreached")
        .run()
        .await
        .unwrap_err();
    m.node.script("").run().await.unwrap();
    m.node.script("# only a comment").run().await.unwrap();
}

#[tokio::test]
async fn arguments_arrive_as_they_are() {
    let m = machine().await;
    let odd = [
        "", "a b", "it's", "$HOME", "`id`", "\"", "\\", "*", "a\nb", "ä", "-n",
    ];
    let printed = m
        .node
        .command(["printf", "%s\\0"].into_iter().chain(odd))
        .run()
        .await
        .unwrap();
    assert_eq!(printed.split_terminator('\0').collect::<Vec<_>>(), odd);
}

#[tokio::test]
async fn much_output_and_much_input_stay_whole() {
    const SIZE: usize = 10 << 20;
    let m = machine().await;
    let zeros = m
        .node
        .command(["head", "-c", &SIZE.to_string(), "/dev/zero"]);
    assert_eq!(zeros.output().await.unwrap().stdout.len(), SIZE);

    let input: Vec<u8> = (0..SIZE).map(|i| (i % 251) as u8).collect();
    // Not echoed: this server stops reading while a command does not, also what would let the command go on.
    let sum = m
        .node
        .command(["sha256sum"])
        .stdin(input.clone())
        .run()
        .await
        .unwrap();
    assert!(sum.starts_with(&Sha256::of(&input).to_string()), "{sum}");

    // A command that ends without reading does not leave the feeding stuck.
    m.node.command(["true"]).stdin(input).run().await.unwrap();
}

#[tokio::test]
async fn a_script_whose_tail_is_lost_does_nothing() {
    let m = machine().await;
    let whole = String::from_utf8(m.node.script("echo one\necho two").into_stdin()).unwrap();
    let part = &whole[..whole.find("two").unwrap()];
    let output = m
        .node
        .command(["sh", "-eu"])
        .stdin(part)
        .output()
        .await
        .unwrap();
    assert_ne!(output.status, 0);
    assert_eq!(output.stdout, b"");
}

#[tokio::test]
async fn a_strange_host_key_and_a_strange_client_are_refused() {
    let [a, b] = ["a", "b"].map(|c| KeyPair::generate(c).unwrap());
    let stranger = machine_with(&a, &b, &a.public, &a).await;
    let error = stranger.node.command(["true"]).run().await.unwrap_err();
    assert!(matches!(error, NodeError::HostKey { .. }), "{error}");
    // Waiting for a stranger to become the node is futile, so it ends at once.
    let began = Instant::now();
    stranger
        .node
        .wait_reachable(Duration::from_secs(60))
        .await
        .unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(5));

    let unknown = machine_with(&a, &b, &b.public, &b).await;
    let error = unknown.node.command(["true"]).run().await.unwrap_err();
    assert!(matches!(error, NodeError::Refused { .. }), "{error}");
}

#[tokio::test]
async fn a_deadline_holds_and_shows_what_came() {
    let m = machine().await;
    // Long enough for the first word on a busy machine.
    let (began, deadline) = (Instant::now(), Duration::from_secs(2));
    let slow = m.node.script("echo first; sleep 300; echo last");
    let error = failure(slow.deadline(deadline).run().await.unwrap_err());
    assert!(began.elapsed() < Duration::from_secs(100));
    assert_eq!(error.failure, CommandFailure::Deadline(deadline));
    assert_eq!(error.stdout, "first");
    // The connection is as good as before.
    m.node.command(["true"]).run().await.unwrap();
    assert_eq!(m.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn silence_does_not_outlast_the_deadline_and_a_new_connection_follows() {
    let m = machine().await;
    m.node.wait_reachable(Duration::from_secs(5)).await.unwrap();
    let pending = m.node.script("sleep 30").deadline(Duration::from_secs(1));
    let (result, ()) = tokio::join!(pending.run(), async {
        m.commands.clone().wait_for(|n| *n == 2).await.unwrap();
        m.weather.send(Weather::Silent).unwrap();
    });
    let error = failure(result.unwrap_err());
    assert_eq!(
        error.failure,
        CommandFailure::Deadline(Duration::from_secs(1))
    );

    m.weather.send(Weather::Fair).unwrap();
    m.node.command(["true"]).run().await.unwrap();
    assert_eq!(m.connections.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn a_lost_link_is_no_success_and_is_replaced() {
    let m = machine().await;
    let (result, ()) = tokio::join!(m.node.script("sleep 30").run(), async {
        m.commands.clone().wait_for(|n| *n == 1).await.unwrap();
        m.weather.send(Weather::Cut).unwrap();
    });
    assert_eq!(
        failure(result.unwrap_err()).failure,
        CommandFailure::LinkLost
    );
    m.weather.send(Weather::Fair).unwrap();
    m.node.command(["true"]).run().await.unwrap();

    // A channel that closes without a status is no success either.
    let error = failure(m.node.command(["vanish"]).run().await.unwrap_err());
    assert_eq!(error.failure, CommandFailure::LinkLost);
    // After a farewell, too, the next use connects again.
    m.node.disconnect().await;
    m.node.command(["true"]).run().await.unwrap();
    assert_eq!(m.connections.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn many_commands_share_one_connection() {
    let m = machine().await;
    let all = (0..30).map(|i| {
        let node = m.node.clone();
        async move { node.command(["echo", &i.to_string()]).run().await.unwrap() }
    });
    let printed = futures::future::join_all(all).await;
    assert_eq!(printed[29], "29\n");
    assert_eq!(m.connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn nobody_there_is_told_with_the_last_error() {
    let (listener, address) = listen().await;
    drop(listener);
    let key = KeyPair::generate("k").unwrap();
    let node = Node::at(&name(), address, &key, &key).unwrap();
    let began = Instant::now();
    let error = node
        .wait_reachable(Duration::from_millis(500))
        .await
        .unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(2));
    let NodeError::NeverReachable { last, .. } = error else {
        panic!("{error}")
    };
    assert!(matches!(*last, NodeError::Unreachable { .. }), "{last}");
}

#[tokio::test]
async fn files_are_pushed_once_and_whole() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let m = machine().await;
    let directory = tempfile::tempdir().unwrap();
    let root = camino::Utf8Path::from_path(directory.path()).unwrap();
    let file = |path: &str, mode, content: &[u8]| NodeFile {
        path: root.join(path),
        mode,
        content: content.to_vec(),
    };
    let mut files = [
        file("deep/er/secret", 0o600, b"\0binary\n\xff"),
        file("empty", 0o644, b""),
        file("script", 0o755, b"#!/bin/sh\n"),
    ];
    m.node.push(&files).await.unwrap();
    let inode = |path: &str| root.join(path).metadata().unwrap().ino();
    for file in &files {
        assert_eq!(std::fs::read(&file.path).unwrap(), file.content);
        assert_eq!(
            file.path.metadata().unwrap().permissions().mode() & 0o7777,
            file.mode
        );
    }
    let before = ["deep/er/secret", "empty", "script"].map(inode);
    files[1].mode = 0o640;
    files[2].content = b"#!/bin/sh\nexit\n".to_vec();
    m.node.push(&files).await.unwrap();
    let after = ["deep/er/secret", "empty", "script"].map(inode);
    assert_eq!(before[0], after[0]);
    assert_ne!(before[1], after[1]);
    assert_ne!(before[2], after[2]);
    assert_eq!(
        m.node.read(files[2].path.as_str()).await.unwrap(),
        files[2].content
    );
    // Nothing temporary stays.
    assert_eq!(root.read_dir_utf8().unwrap().count(), 3);

    let error = m.node.push(&[file("a b", 0o644, b"")]).await.unwrap_err();
    assert!(matches!(error, NodeError::Path { .. }));
}

#[tokio::test]
async fn a_push_that_does_not_arrive_whole_changes_nothing() {
    let m = machine().await;
    const SUM: &str = "0000000000000000000000000000000000000000000000000000000000000000";
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    std::fs::write(&path, "old").unwrap();
    let wrong = [
        "sh",
        "-eu",
        "-c",
        push::RECEIVE,
        "push",
        path.to_str().unwrap(),
        "644",
        "3",
        SUM,
    ];
    let output = m.node.command(wrong).stdin("new").output().await.unwrap();
    assert_ne!(output.status, 0);
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    assert_eq!(directory.path().read_dir().unwrap().count(), 1);
}

#[test]
fn a_key_pair_shows_only_its_public_half() {
    let pair = KeyPair::generate("demo").unwrap();
    assert!(pair.public.starts_with("ssh-ed25519 ") && pair.public.ends_with(" demo"));
    assert!(!format!("{pair:?}").contains("PRIVATE"));
    assert_ne!(pair, KeyPair::generate("demo").unwrap());
    let private = pair.private_key().unwrap();
    assert_eq!(private.public_key().to_openssh().unwrap(), pair.public);
}

#[test]
fn debug_shows_no_content() {
    let file = NodeFile {
        path: "/a".into(),
        mode: 0o600,
        content: b"secret".to_vec(),
    };
    assert_eq!(format!("{file:?}"), "NodeFile(/a, 600, 6 bytes)");
}
