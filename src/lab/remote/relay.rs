//! The nodes' network as seen from here: a network namespace of this process's own, in which every connection to a node
//! is handed to a Unix socket, and by `ssh` to the node.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use camino::{Utf8Path, Utf8PathBuf};
use tokio::io::{AsyncWriteExt as _, copy};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio_util::sync::CancellationToken;

use super::RemoteError;
use crate::lab::holder::first_line;
use crate::lab::network;
use crate::lab::process::ProcessId;

/// Gives the loopback interface of a new namespace the nodes' addresses, and holds it until standard input ends.
const SCRIPT: &str = "ip link set lo up
for address; do echo \"address add $address/32 dev lo\"; done | ip -batch -
echo ready
read -r _ || true";

/// A namespace and some addresses take 10 ms; the rest is for a busy machine.
const MAKE: Duration = Duration::from_secs(10);

/// The running relay; ended when it is dropped, and the namespace with it, unless somebody still stands in it.
pub(super) struct Relay {
    namespace: File,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

impl Relay {
    /// Listens in a network of its own on these addresses; each is carried to the socket beside it.
    pub(super) fn start(forwards: Vec<(SocketAddrV4, Utf8PathBuf)>) -> Result<Self, RemoteError> {
        let addresses = forwards.iter().map(|(address, _)| *address.ip());
        let namespace = namespace(&addresses.collect())
            .map_err(RemoteError::relay("making a network namespace"))?;
        let stop = CancellationToken::new();
        let (stopped, inside) = (stop.clone(), namespace.try_clone());
        let (ready, begun) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("regent-relay".to_owned())
            .spawn(move || {
                let relay = inside
                    .and_then(|inside| network::enter(&inside))
                    .and_then(|()| {
                        tokio::runtime::Builder::new_current_thread()
                            .enable_io()
                            .build()
                    });
                let relay = relay.and_then(|runtime| {
                    let listeners = runtime.block_on(listen(forwards))?;
                    Ok((runtime, listeners))
                });
                match relay {
                    Ok((runtime, listeners)) => {
                        let _ = ready.send(Ok(()));
                        runtime.block_on(async {
                            for (listener, socket) in listeners {
                                tokio::spawn(accept(listener, socket));
                            }
                            stopped.cancelled().await;
                        });
                    }
                    Err(error) => drop(ready.send(Err(error))),
                }
            })
            .map_err(RemoteError::relay(
                "starting a thread for the nodes' network",
            ))?;
        let relay = Self {
            namespace,
            stop,
            thread: Some(thread),
        };
        let begun = begun
            .recv()
            .unwrap_or_else(|_| Err(io::Error::other("the thread ended")));
        begun
            .map(|()| relay)
            .map_err(RemoteError::relay("listening in the nodes' network"))
    }

    /// The network in which the nodes answer.
    pub(super) fn namespace(&self) -> &File {
        &self.namespace
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Makes a network namespace whose loopback interface has these addresses. It lives as long as the file is open.
fn namespace(addresses: &BTreeSet<Ipv4Addr>) -> io::Result<File> {
    let mut child = Command::new("unshare")
        .args(["--net", "sh", "-euc", SCRIPT, "sh"])
        .args(addresses.iter().map(Ipv4Addr::to_string))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let said = child.stdout.take().map(|output| first_line(output, MAKE));
    let namespace = match said {
        Some(Ok(line)) if line == "ready" => ProcessId::of(child.id())
            .ok_or_else(|| io::ErrorKind::NotFound.into())
            .and_then(network::of),
        Some(Err(error)) => Err(error),
        _ => Err(io::Error::other("`unshare --net` or `ip` failed")),
    };
    // With its standard input it ends.
    drop(child.stdin.take());
    if namespace.is_err() {
        let _ = child.kill();
    }
    child.wait()?;
    namespace
}

async fn listen(
    forwards: Vec<(SocketAddrV4, Utf8PathBuf)>,
) -> io::Result<Vec<(TcpListener, Utf8PathBuf)>> {
    let mut listeners = Vec::new();
    for (address, socket) in forwards {
        listeners.push((TcpListener::bind(address).await?, socket));
    }
    Ok(listeners)
}

/// Carries every connection. Whatever happens to one is that one's end only.
async fn accept(listener: TcpListener, socket: Utf8PathBuf) {
    loop {
        match listener.accept().await {
            Ok((near, _)) => {
                let socket = socket.clone();
                tokio::spawn(async move { carry(near, &socket).await });
            }
            // Out of descriptors, most likely; others may be given back.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// Carries one connection to its end. What the node refuses is reset here, as the node would have; what is silent there
/// stays silent here.
async fn carry(mut near: TcpStream, socket: &Utf8Path) {
    let carried = match UnixStream::connect(socket).await {
        Ok(mut far) => both_ways(&mut near, &mut far).await,
        // No `ssh` at the moment.
        Err(error) => Err(error),
    };
    if carried.is_err() {
        // Whoever waits for an answer is told at once that none will come.
        let _ = near.set_zero_linger();
    }
}

/// Copies both ways until both sides have said all. Fails if one broke off, or the far one said nothing at all: that is
/// how `ssh` tells that the node has refused the connection.
async fn both_ways(near: &mut TcpStream, far: &mut UnixStream) -> io::Result<()> {
    // Small packets that wait for an answer must not be held back.
    near.set_nodelay(true)?;
    let (mut from_near, mut to_near) = near.split();
    let (mut from_far, mut to_far) = far.split();
    let asked = async {
        copy(&mut from_near, &mut to_far).await?;
        to_far.shutdown().await
    };
    let answered = async {
        match copy(&mut from_far, &mut to_near).await? {
            0 => Err(io::ErrorKind::ConnectionRefused.into()),
            _ => to_near.shutdown().await,
        }
    };
    tokio::try_join!(asked, answered).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::{Shutdown, TcpStream};
    use std::os::unix::net::UnixListener;
    use std::time::Instant;

    /// Relays one port of an address to a socket that stands for `ssh`'s, and connects to it from within.
    fn within<T: Send>(
        far: impl FnOnce(UnixListener) + Send,
        near: impl FnOnce(TcpStream) -> T + Send,
    ) -> Option<T> {
        if !rustix::process::geteuid().is_root() {
            // Namespaces are root's.
            eprintln!("SKIPPED: needs root");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let socket = Utf8Path::from_path(directory.path()).unwrap().join("far");
        let listener = UnixListener::bind(&socket).unwrap();
        let address: SocketAddrV4 = "198.18.0.21:22".parse().unwrap();
        let relay = Relay::start(vec![(address, socket)]).unwrap();
        Some(std::thread::scope(|scope| {
            scope.spawn(move || far(listener));
            let near = scope.spawn(|| {
                network::enter(relay.namespace()).unwrap();
                // Nobody listens on other ports, nor at other addresses.
                let refused = TcpStream::connect("198.18.0.21:23").unwrap_err();
                assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
                TcpStream::connect("198.18.0.22:22").unwrap_err();
                let stream = TcpStream::connect(address).unwrap();
                stream
                    .set_read_timeout(Some(Duration::from_secs(10)))
                    .unwrap();
                near(stream)
            });
            near.join().unwrap()
        }))
    }

    #[test]
    fn both_sides_say_all_and_hear_all() {
        let far = |listener: UnixListener| {
            let mut far = listener.accept().unwrap().0;
            let mut asked = String::new();
            far.read_to_string(&mut asked).unwrap();
            far.write_all(format!("{asked} yourself").as_bytes())
                .unwrap();
        };
        let heard = within(far, |mut near| {
            near.write_all(b"hello").unwrap();
            near.shutdown(Shutdown::Write).unwrap();
            let mut heard = String::new();
            near.read_to_string(&mut heard).unwrap();
            heard
        });
        assert!(heard.is_none_or(|heard| heard == "hello yourself"));
    }

    #[test]
    fn what_is_refused_there_is_reset_here() {
        let far = |listener: UnixListener| drop(listener.accept().unwrap());
        let heard = within(far, |mut near| near.read(&mut [0]).unwrap_err().kind());
        assert!(heard.is_none_or(|kind| kind == io::ErrorKind::ConnectionReset));
        // Nobody carries anything.
        let heard = within(drop, |mut near| near.read(&mut [0]).unwrap_err().kind());
        assert!(heard.is_none_or(|kind| kind == io::ErrorKind::ConnectionReset));
    }

    #[test]
    fn what_is_silent_there_is_silent_here() {
        let far = |listener: UnixListener| {
            let (silent, _) = listener.accept().unwrap();
            std::thread::sleep(Duration::from_millis(700));
            drop(silent);
        };
        let waited = within(far, |mut near| {
            let begun = Instant::now();
            near.set_read_timeout(Some(Duration::from_millis(300)))
                .unwrap();
            let kind = near.read(&mut [0]).unwrap_err().kind();
            assert_eq!(kind, io::ErrorKind::WouldBlock);
            begun.elapsed()
        });
        assert!(waited.is_none_or(|waited| waited >= Duration::from_millis(300)));
    }
}
