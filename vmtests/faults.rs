//! Faults that leave a node alive: each is seen by somebody, and gone after healing. The same for both drivers.

use std::error::Error;
use std::time::{Duration, Instant};

use regent::fault::Impairment;
use regent::plan::NodePlan;
use regent::provider::{Fault, Strength};
use regent::spec::Driver;

use crate::lab::Running;
use crate::scenarios::expect;

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// How late packets are made: far above what a busy machine makes of a ping.
const LATE: Duration = Duration::from_millis(400);

/// An unplugged node lives on and is not heard; it needs no new boot to be back.
pub fn cable(running: &Running, witness: &NodePlan, node: &NodePlan) -> Result {
    let identity = running.boot_identity(node)?;
    expect(hears(running, witness, node)?, "the cable is in")?;
    running.inject(node, Fault::LinkDown)?;
    expect(!hears(running, witness, node)?, "the cable is out")?;
    running.heal(node)?;
    expect(hears(running, witness, node)?, "the cable is in again")?;
    expect(
        running.boot_identity(node)? == identity,
        "nothing was booted",
    )
}

/// Packets are lost and late, but for regent's own connection.
pub fn packets(running: &Running, witness: &NodePlan, node: &NodePlan, driver: Driver) -> Result {
    running.impair(node, Impairment::PacketLoss(100))?;
    expect(!hears(running, witness, node)?, "every packet is lost")?;
    running.lift(node, driver)?;
    expect(hears(running, witness, node)?, "no packet is lost any more")?;

    match running.impair(node, Impairment::PacketDelay(LATE)) {
        Ok(()) => {
            expect(
                round_trip(running, witness, node)? >= LATE,
                "it answers late",
            )?;
            running.lift(node, driver)?;
            expect(
                round_trip(running, witness, node)? < LATE,
                "it answers in time",
            )
        }
        // A container has the host's kernel, which need not know how.
        Err(error) if driver == Driver::Lxc && error.to_string().contains("qdisc") => Ok(()),
        Err(error) => Err(error),
    }
}

/// What only a machine of its own has: a clock, a disk, a reset button.
pub fn machine(running: &Running, node: &NodePlan) -> Result {
    let ahead = Duration::from_secs(3600);
    running.impair(node, Impairment::ClockAhead(ahead))?;
    let clock = || -> Result<i64> {
        let said = running.run(node, "date +%s")?;
        Ok(said.trim().parse::<i64>()? - jiff::Timestamp::now().as_second())
    };
    expect(clock()? > 3000, "the clock is ahead")?;
    running.lift(node, Driver::Qemu)?;
    expect(clock()?.abs() < 600, "the clock is right")?;

    let write = "echo x > /var/lib/etcd/one-more && echo written || echo full";
    running.impair(node, Impairment::DiskFull)?;
    expect(running.run(node, write)? == "full\n", "the disk is full")?;
    running.lift(node, Driver::Qemu)?;
    expect(
        running.run(node, write)? == "written\n",
        "the disk has room",
    )?;

    let quick = synced_writes(running, node)?;
    running.inject(node, Fault::SlowDisk)?;
    let slow = synced_writes(running, node)?;
    expect(
        slow > Duration::from_secs(1),
        format!("ten synced writes take {slow:.1?}"),
    )?;
    running.on(running.provider.heal(&node.name))?;
    let again = synced_writes(running, node)?;
    expect(
        again < slow,
        format!("{quick:.1?}, slowed {slow:.1?}, healed {again:.1?}"),
    )?;

    let boot = || running.run(node, "cat /proc/sys/kernel/random/boot_id");
    let (before, identity) = (boot()?, running.boot_identity(node)?);
    running.inject(node, Fault::Reset)?;
    running.answers_anew(node, &before)?;
    expect(running.boot_identity(node)? == identity, "QEMU lives on")
}

/// What a driver lacks is said before anything is done.
pub fn nothing_missing_is_tried(running: &Running, node: &NodePlan) -> Result {
    for fault in Fault::ALL {
        if let Strength::Missing(why) = running.provider.strength(fault) {
            match running.on(running.provider.inject(&node.name, fault)) {
                Err(error) => expect(error.to_string().contains(why), error.to_string())?,
                Ok(_) => return Err(format!("{fault:?} was done, although {why}").into()),
            }
        }
    }
    Ok(())
}

/// Whether a ping from `witness` is answered.
pub fn hears(running: &Running, witness: &NodePlan, node: &NodePlan) -> Result<bool> {
    let ping = format!(
        "ping -c 1 -W 2 {} >/dev/null && echo heard || echo silent",
        node.address
    );
    Ok(running.run(witness, &ping)? == "heard\n")
}

fn round_trip(running: &Running, witness: &NodePlan, node: &NodePlan) -> Result<Duration> {
    let ping = format!(
        "ping -c 1 -W 5 {} | sed -n 's/.*time=\\([0-9.]*\\) ms/\\1/p'",
        node.address
    );
    let milliseconds: f64 = running.run(witness, &ping)?.trim().parse()?;
    Ok(Duration::from_secs_f64(milliseconds / 1000.0))
}

fn synced_writes(running: &Running, node: &NodePlan) -> Result<Duration> {
    let begun = Instant::now();
    running.run(
        node,
        "dd if=/dev/zero of=/var/lib/etcd/synced bs=4k count=10 oflag=dsync 2>/dev/null",
    )?;
    Ok(begun.elapsed())
}
