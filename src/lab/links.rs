//! Network interfaces, switched through rtnetlink: at once, where starting `ip` would take a loaded machine 100 ms.

use std::io;

use rustix::fd::OwnedFd;
use rustix::net::netdevice::name_to_index;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socket_with,
};

use super::network;
use super::process::ProcessId;

// From linux/netlink.h, linux/rtnetlink.h and linux/if.h.
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLMSG_ERROR: u16 = 2;
const RTM_NEWLINK: u16 = 16;
const IFF_UP: u32 = 1;

/// Interfaces of one network namespace.
#[derive(Debug)]
pub(crate) struct Links {
    socket: OwnedFd,
    indexes: Vec<u32>,
}

impl Links {
    /// Finds the interfaces with these names in the network namespace of a process; none: this process's own.
    pub(crate) fn find(process: Option<ProcessId>, names: &[String]) -> io::Result<Self> {
        let open = || -> io::Result<OwnedFd> {
            if let Some(process) = process {
                network::enter(&network::of(process)?)?;
            }
            let (family, kind) = (AddressFamily::NETLINK, SocketType::RAW);
            // Protocol 0 is NETLINK_ROUTE.
            Ok(socket_with(family, kind, SocketFlags::CLOEXEC, None)?)
        };
        // A socket belongs to the namespace in which it was made; the calling thread stays where it is.
        let socket = std::thread::scope(|scope| scope.spawn(open).join())
            .unwrap_or_else(|_| Err(io::Error::other("the thread ended")))?;
        let indexes = names.iter().map(|name| name_to_index(&socket, name));
        let indexes = indexes.collect::<Result<_, _>>()?;
        Ok(Self { socket, indexes })
    }

    /// Switches them off.
    pub(crate) fn down(&self) -> io::Result<()> {
        self.switch(0)
    }

    /// Switches them on.
    pub(crate) fn up(&self) -> io::Result<()> {
        self.switch(IFF_UP)
    }

    fn switch(&self, flag: u32) -> io::Result<()> {
        for index in &self.indexes {
            send(&self.socket, &request(*index, flag), SendFlags::empty())?;
            let mut answer = [0; 128];
            recv(&self.socket, &mut answer[..], RecvFlags::empty())?;
            acknowledged(&answer)?;
        }
        Ok(())
    }
}

/// Returns the request to set or clear an interface's `IFF_UP`: a `nlmsghdr`, then an `ifinfomsg`.
fn request(index: u32, flag: u32) -> [u8; 32] {
    let mut message = [0; 32];
    message[0..4].copy_from_slice(&32u32.to_ne_bytes());
    message[4..6].copy_from_slice(&RTM_NEWLINK.to_ne_bytes());
    message[6..8].copy_from_slice(&(NLM_F_REQUEST | NLM_F_ACK).to_ne_bytes());
    message[20..24].copy_from_slice(&index.to_ne_bytes());
    message[24..28].copy_from_slice(&flag.to_ne_bytes());
    // Which of the flags is meant.
    message[28..32].copy_from_slice(&IFF_UP.to_ne_bytes());
    message
}

/// Reads the kernel's answer: a `nlmsghdr`, then an `nlmsgerr` whose first field is 0 or a negated error number.
fn acknowledged(answer: &[u8]) -> io::Result<()> {
    let kind = answer
        .get(4..6)
        .and_then(|bytes| Some(u16::from_ne_bytes(bytes.try_into().ok()?)));
    let number = answer
        .get(16..20)
        .and_then(|bytes| Some(i32::from_ne_bytes(bytes.try_into().ok()?)));
    match (kind, number) {
        (Some(NLMSG_ERROR), Some(0)) => Ok(()),
        (Some(NLMSG_ERROR), Some(number)) => Err(io::Error::from_raw_os_error(-number)),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_s_answer_is_understood() {
        let answer = |kind: u16, number: i32| {
            let mut bytes = [0u8; 20];
            bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
            bytes[16..20].copy_from_slice(&number.to_ne_bytes());
            bytes
        };
        acknowledged(&answer(NLMSG_ERROR, 0)).unwrap();
        let refused = acknowledged(&answer(NLMSG_ERROR, -1)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::PermissionDenied);
        acknowledged(&answer(RTM_NEWLINK, 0)).unwrap_err();
        acknowledged(&[]).unwrap_err();
    }

    #[test]
    fn an_interface_that_is_not_there_is_an_error() {
        assert_eq!(Links::find(None, &["lo".to_owned()]).unwrap().indexes, [1]);
        Links::find(None, &["none-such".to_owned()]).unwrap_err();
    }
}
