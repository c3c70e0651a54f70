//! A connection to a libvirt, and its end, which nobody waits for.

use std::ffi::c_int;
use std::ops::Deref;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use virt::connect::Connect;
use virt::error::Error;

use super::events;

/// How often, and how long apart, a connection that is about to be closed is asked something.
const DRAIN: (u32, Duration) = (3, Duration::from_millis(20));

/// An open connection. It hears of domains' lives once somebody wants to: libvirtd 9.0 may die of a client that leaves
/// while it is being told of them (a null pointer in its relay, seen once in some hundred commands that pause and resume a node),
/// so most commands never listen.
#[derive(Debug)]
pub(super) struct Connection {
    /// Taken only by `drop`.
    connect: Option<Connect>,
    listener: Mutex<Option<c_int>>,
}

impl Connection {
    /// Takes a connection over.
    pub(super) fn new(connect: Connect) -> Self {
        Self {
            connect: Some(connect),
            listener: Mutex::default(),
        }
    }

    /// Calls `sink` for every lifecycle event of any domain from now on, unless another one is called already.
    pub(super) fn listen(&self, sink: events::Sink) -> Result<(), Error> {
        let mut listener = self.listener.lock().unwrap_or_else(PoisonError::into_inner);
        if listener.is_none() {
            *listener = Some(events::listen(self, sink)?);
        }
        Ok(())
    }
}

impl Deref for Connection {
    type Target = Connect;

    fn deref(&self) -> &Connect {
        #[expect(clippy::expect_used, reason = "it is there until it is dropped")]
        self.connect.as_ref().expect("an open connection")
    }
}

impl Drop for Connection {
    /// Closes it on a thread of its own, which may hang as long as it likes: a libvirt that does not answer, or the client
    /// library itself. In libvirt 9.0 an event that arrives while the last reference goes is dispatched in the middle of
    /// closing, takes a reference to what is being freed and frees it again, which waits for a lock that it holds itself
    /// (virConnectClose → virNetClientSendWithReply → dispatch → unref → close). So no event may be on its way any more.
    fn drop(&mut self) {
        let Some(connect) = self.connect.take() else {
            return;
        };
        let listener = self
            .listener
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        let close = move || {
            let Some(listener) = listener else {
                return drop(connect);
            };
            events::forget(&connect, listener);
            // What the daemon had begun to send before it heard of that comes before its next answers.
            let (times, pause) = DRAIN;
            for _ in 0..times {
                std::thread::sleep(pause);
                let _ = connect.lib_version();
            }
            drop(connect);
        };
        // Where there can be no thread, the connection ends here and now, as it always did.
        let _ = std::thread::Builder::new()
            .name("libvirt-close".to_owned())
            .spawn(close);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Instant;

    /// Connections that are dropped while domains start and stop, by threads that have other things to do.
    #[test]
    fn case_exit_hang_dropping_a_connection_never_waits() {
        events::start().unwrap();
        // A libvirt of this test's own: `test:///default` is one for the whole process, and other tests listen to it.
        let scratch = tempfile::tempdir().unwrap();
        let node = scratch.path().join("node.xml");
        let domain = "<domain type='test'><name>busy</name><memory>1024</memory><os><type>hvm</type></os></domain>";
        std::fs::write(&node, format!("<node>{domain}</node>")).unwrap();
        let uri = format!("test://{}", node.display());
        let heard = Arc::new(AtomicU32::new(0));
        let begun = Instant::now();
        for _ in 0..50 {
            let connect = Connect::open(Some(&uri)).unwrap();
            let counter = Arc::clone(&heard);
            let sink = move |_: &str, _, _| {
                counter.fetch_add(1, Ordering::Relaxed);
            };
            let connect = Connection::new(connect);
            connect.listen(Box::new(sink)).unwrap();
            let domain = connect.list_all_domains(0).unwrap().remove(0);
            let busy = std::thread::spawn(move || {
                for _ in 0..5 {
                    let _ = domain.suspend();
                    let _ = domain.resume();
                }
            });
            let dropped = Instant::now();
            drop(connect);
            assert!(dropped.elapsed() < Duration::from_secs(1));
            busy.join().unwrap();
        }
        assert!(begun.elapsed() < Duration::from_secs(30));
        assert!(heard.load(Ordering::Relaxed) > 0);
    }
}
