//! What makes a node's life hard from within: done by its own system, over SSH, so that it is the same for containers
//! and virtual machines as far as their kernels go.

use std::net::Ipv4Addr;
use std::time::Duration;

use crate::node::{Node, NodeError};
use crate::provider::Strength;
use crate::spec::Driver;

/// A condition of a running node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Impairment {
    /// This share of the packets that it receives is lost, in percent, from 1 to 100.
    PacketLoss(u8),
    /// Every packet that it sends is this late.
    PacketDelay(Duration),
    /// Nothing more fits on the disk that etcd, containerd and the kubelet write to.
    DiskFull,
    /// Its clock is ahead by this much.
    ClockAhead(Duration),
}

/// The file that fills a disk.
const BALLAST: &str = "/var/lib/regent/ballast";

/// Filling a disk writes nothing, but an emulated machine is slow at everything.
const PATIENCE: Duration = Duration::from_secs(120);

impl Impairment {
    /// How far it does with a driver what its name says.
    pub fn strength(self, driver: Driver) -> Strength {
        match (self, driver) {
            (Self::PacketLoss(_) | Self::PacketDelay(_), _) | (_, Driver::Qemu) => Strength::Full,
            (Self::DiskFull, Driver::Lxc) => {
                Strength::Missing("containers share the host's disk; this needs virtual machines")
            }
            (Self::ClockAhead(_), Driver::Lxc) => {
                Strength::Missing("containers share the host's clock; this needs virtual machines")
            }
        }
    }

    /// Imposes it on a node. Packets from and to `spared`, which regent's own connections come from, are not lost.
    /// What was imposed before stays.
    ///
    /// # Errors
    /// When the node cannot be reached, or its kernel lacks what it takes.
    pub async fn impose(self, node: &Node, spared: Ipv4Addr) -> Result<(), NodeError> {
        run(node, self.script(spared)).await
    }

    fn script(self, spared: Ipv4Addr) -> String {
        match self {
            Self::PacketLoss(percent) => format!(
                "nft -f - <<'end'\n\
                 table inet regent-loss\n\
                 delete table inet regent-loss\n\
                 table inet regent-loss {{\n\
                 chain input {{\n\
                 type filter hook input priority -300;\n\
                 iif lo accept\n\
                 ip saddr {spared} accept\n\
                 numgen random mod 100 <= {} counter drop\n\
                 }}\n\
                 }}\n\
                 end\n",
                percent.clamp(1, 100) - 1
            ),
            Self::PacketDelay(delay) => format!(
                "link=$(ip -o route get {spared} | sed 's/.* dev \\([^ ]*\\).*/\\1/')\n\
                 tc qdisc replace dev \"$link\" root netem delay {}ms\n",
                delay.as_millis()
            ),
            // All but nothing: root's reserve of blocks is used too.
            Self::DiskFull => format!(
                "mkdir -p \"$(dirname {BALLAST})\"\n\
                 free=$(df --output=avail -B 4096 /var/lib/etcd | tail -n 1)\n\
                 fallocate -l $((free * 4096)) {BALLAST} || true\n\
                 dd if=/dev/zero bs=64k 2>/dev/null >>{BALLAST} || true\n\
                 sync\n"
            ),
            Self::ClockAhead(ahead) => {
                format!("date --set=\"+{} seconds\" >/dev/null\n", ahead.as_secs())
            }
        }
    }

    /// Looks whether it is in force: what was measured, and whether that shows it. Packets are lost as they come.
    ///
    /// # Errors
    /// When the node cannot be reached.
    pub async fn seen(self, node: &Node, spared: Ipv4Addr) -> Result<(String, bool), NodeError> {
        let name = node.name();
        let script = match self {
            Self::PacketLoss(_) => {
                "nft list table inet regent-loss 2>/dev/null | sed -n 's/.*counter packets \\([0-9]*\\).*/\\1/p'".to_owned()
            }
            Self::PacketDelay(_) => format!(
                "ping -c 1 -W 10 {spared} | sed -n 's/.*time=\\([0-9]*\\).*/\\1/p'"
            ),
            Self::DiskFull => "df --output=avail -B 4096 /var/lib/etcd | tail -n 1".to_owned(),
            Self::ClockAhead(_) => "date +%s".to_owned(),
        };
        let said = node.script(script).deadline(PATIENCE).run().await?;
        let figure = said.trim().parse::<i64>().unwrap_or(-1);
        Ok(match self {
            Self::PacketLoss(_) => (format!("{name} has dropped packets ({figure})"), figure > 0),
            Self::PacketDelay(delay) => (
                format!("a round trip from {name} takes {figure} ms"),
                u128::try_from(figure).is_ok_and(|figure| figure >= delay.as_millis()),
            ),
            Self::DiskFull => (
                format!("{name} has {figure} free blocks"),
                (0..16).contains(&figure),
            ),
            Self::ClockAhead(ahead) => {
                let by = figure - jiff::Timestamp::now().as_second();
                let wanted = i64::try_from(ahead.as_secs()).unwrap_or(i64::MAX);
                (format!("{name}'s clock is {by} s ahead"), by + 5 > wanted)
            }
        })
    }

    /// Lifts whatever was imposed on a node; its clock is set to this machine's, to the second.
    ///
    /// # Errors
    /// When the node cannot be reached.
    pub async fn lift(node: &Node, driver: Driver) -> Result<(), NodeError> {
        let mut script = format!(
            "nft delete table inet regent-loss 2>/dev/null || true\n\
             for link in $(ls /sys/class/net); do\n\
             tc qdisc show dev \"$link\" | grep -q netem && tc qdisc del dev \"$link\" root || true\n\
             done\n\
             rm -f {BALLAST}\n"
        );
        if driver == Driver::Qemu {
            let now = jiff::Timestamp::now().as_second();
            script.push_str(&format!("date --set=@{now} >/dev/null\n"));
        }
        run(node, script).await
    }
}

async fn run(node: &Node, script: String) -> Result<(), NodeError> {
    node.script(script).deadline(PATIENCE).run().await?;
    Ok(())
}
