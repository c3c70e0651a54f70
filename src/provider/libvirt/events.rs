//! libvirt's lifecycle events. `virt` has no safe interface for them.
#![expect(
    unsafe_code,
    reason = "virConnectDomainEventRegisterAny is only in virt::sys"
)]

use std::ffi::{CStr, c_int, c_void};
use std::ptr;
use std::sync::OnceLock;

use virt::connect::Connect;
use virt::error::Error;
use virt::sys;

use super::DomainState;

/// What is called with a domain's name, libvirt's word for the event and the state that follows from it.
/// Runs on the event thread and must not block.
pub(super) type Sink = Box<dyn Fn(&str, &'static str, DomainState) + Send + Sync>;

/// Starts libvirt's event loop, once in the life of the process. Must come before the first connection: a
/// connection made earlier would not get events. The loop cannot be stopped, which is libvirt's rule.
pub(super) fn start() -> Result<(), Error> {
    static STARTED: OnceLock<Result<(), Error>> = OnceLock::new();
    STARTED
        .get_or_init(|| {
            virt::error::clear_error_callback();
            virt::event::event_register_default_impl()?;
            std::thread::Builder::new()
                .name("libvirt-events".to_owned())
                .spawn(|| {
                    // The thread outlives every lab and must not keep the network of the one that began it.
                    let _ = crate::lab::network::leave();
                    loop {
                        // An iteration that fails has handled nothing; the next one starts afresh.
                        let _ = virt::event::event_run_default_impl();
                    }
                })
                .map_err(|_| Error::last_error())?;
            Ok(())
        })
        .clone()
}

/// Registers `sink` for the lifecycle events of all domains; returns what [`forget`] needs.
pub(super) fn listen(connect: &Connect, sink: Sink) -> Result<c_int, Error> {
    // SAFETY: libvirt hands a lifecycle callback back as registered for this event identifier, with the arguments
    // of `on_change`; the generic type is how its C interface spells "the type that belongs to the identifier".
    let callback = unsafe {
        std::mem::transmute::<
            unsafe extern "C" fn(
                sys::virConnectPtr,
                sys::virDomainPtr,
                c_int,
                c_int,
                *mut c_void,
            ) -> c_int,
            unsafe extern "C" fn(sys::virConnectPtr, sys::virDomainPtr, *mut c_void),
        >(on_change)
    };
    let sink = Box::into_raw(Box::new(sink));
    // SAFETY: the connection is open; a null domain means all; `sink` lives until libvirt calls `free`.
    let id = unsafe {
        sys::virConnectDomainEventRegisterAny(
            connect.as_ptr(),
            ptr::null_mut(),
            sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE as c_int,
            Some(callback),
            sink.cast(),
            Some(free),
        )
    };
    if id < 0 {
        let error = Error::last_error();
        // SAFETY: a failed registration neither keeps nor frees the pointer, which came from `Box::into_raw` above.
        drop(unsafe { Box::from_raw(sink) });
        return Err(error);
    }
    Ok(id)
}

/// Undoes [`listen`]; else the connection would stay open. Fails only where the connection is gone already.
pub(super) fn forget(connect: &Connect, id: c_int) {
    // SAFETY: the connection is open and `id` came from `listen` on it.
    unsafe { sys::virConnectDomainEventDeregisterAny(connect.as_ptr(), id) };
}

/// # Safety
/// libvirt calls it with a valid domain and the pointer given at registration.
unsafe extern "C" fn on_change(
    _connect: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    event: c_int,
    _detail: c_int,
    sink: *mut c_void,
) -> c_int {
    // SAFETY: the domain is valid for the time of the call, and so is its name.
    let name = unsafe { sys::virDomainGetName(domain) };
    let Some((change, state)) = meaning(event) else {
        return 0;
    };
    if !name.is_null() {
        // SAFETY: a C string of libvirt's; and the box made in `listen`, not yet freed.
        let (name, sink) = unsafe { (CStr::from_ptr(name), &*sink.cast::<Sink>()) };
        sink(&name.to_string_lossy(), change, state);
    }
    0
}

/// # Safety
/// libvirt calls it once, after the last call of `on_change`, with the pointer given at registration.
unsafe extern "C" fn free(sink: *mut c_void) {
    // SAFETY: the pointer came from `Box::into_raw` in `listen`.
    drop(unsafe { Box::from_raw(sink.cast::<Sink>()) });
}

/// Returns libvirt's word for an event and the state that follows from it; none for events that say nothing new.
fn meaning(event: c_int) -> Option<(&'static str, DomainState)> {
    Some(match u32::try_from(event).ok()? {
        sys::VIR_DOMAIN_EVENT_DEFINED => ("defined", DomainState::Off),
        sys::VIR_DOMAIN_EVENT_UNDEFINED => ("undefined", DomainState::Undefined),
        sys::VIR_DOMAIN_EVENT_STARTED => ("started", DomainState::Running),
        sys::VIR_DOMAIN_EVENT_SUSPENDED => ("suspended", DomainState::Paused),
        sys::VIR_DOMAIN_EVENT_RESUMED => ("resumed", DomainState::Running),
        sys::VIR_DOMAIN_EVENT_STOPPED => ("stopped", DomainState::Off),
        sys::VIR_DOMAIN_EVENT_SHUTDOWN => ("shutdown", DomainState::Running),
        sys::VIR_DOMAIN_EVENT_CRASHED => ("crashed", DomainState::Off),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    /// libvirt's own test driver, in this process: define, start, destroy, undefine and what is heard of it.
    #[test]
    fn a_domain_s_life_is_heard() {
        start().unwrap();
        let connect = Connect::open(Some("test:///default")).unwrap();
        let (heard, hearing) = mpsc::channel();
        let sink =
            move |name: &str, change, state| drop(heard.send((name.to_owned(), change, state)));
        let id = listen(&connect, Box::new(sink)).unwrap();

        let xml = "<domain type='test'><name>demo-m1</name><memory>1024</memory><os><type>hvm</type></os></domain>";
        let domain = connect.define_domain_xml(xml).unwrap();
        domain.create().unwrap();
        domain.suspend().unwrap();
        domain.resume().unwrap();
        domain.destroy().unwrap();
        domain.undefine().unwrap();
        let changes: Vec<_> = (0..6)
            .map(|_| hearing.recv_timeout(Duration::from_secs(5)).unwrap())
            .collect();
        assert!(changes.iter().all(|(name, ..)| name == "demo-m1"));
        assert_eq!(
            changes
                .iter()
                .map(|(_, change, _)| *change)
                .collect::<Vec<_>>(),
            [
                "defined",
                "started",
                "suspended",
                "resumed",
                "stopped",
                "undefined"
            ]
        );
        assert_eq!(changes[2].2, DomainState::Paused);

        // The sink is freed, which closes the channel.
        forget(&connect, id);
        assert_eq!(
            hearing.recv_timeout(Duration::from_secs(5)),
            Err(mpsc::RecvTimeoutError::Disconnected)
        );
    }
}
