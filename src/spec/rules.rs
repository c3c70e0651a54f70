//! The rules between values: what each value alone allows, but not together, or not on this machine.

use super::diagnostic::{Mark, ValueError};
use super::reader::Positions;
use super::{
    ClusterSpec, ControlPlaneSpec, DriverChoice, Endpoint, Machine, Memory, capacity, ranges,
};

/// Checks everything that takes more than one value. Values that were reported already are not looked at.
pub(super) fn check(spec: &ClusterSpec, at: &Positions, machine: &Machine) -> Vec<Mark> {
    let mut marks = Vec::new();
    marks.extend(quorum(spec, at));
    marks.extend(endpoint(spec, at));
    marks.extend(driver(spec, at));
    marks.extend(backup(spec, at));
    marks.extend(ranges::check(spec, at));
    // Another host's memory is not this machine's.
    if let Some(available) = machine.available_memory
        && spec.hypervisor.connect.remote().is_none()
    {
        marks.extend(capacity::check(spec, at, Memory(available)));
    }
    marks
}

fn quorum(spec: &ClusterSpec, at: &Positions) -> Option<Mark> {
    let count = spec.control_plane.count;
    if !count.is_multiple_of(2) {
        return None;
    }
    let quorum = count / 2 + 1;
    let losses = match count - quorum {
        0 => "no loss".to_owned(),
        1 => "1 loss".to_owned(),
        losses => format!("{losses} losses"),
    };
    let message = format!(
        "{count} control-plane nodes survive {losses}: etcd needs a quorum of {quorum} of {count}"
    );
    let (fewer, more) = (count - 1, count + 1);
    let hint = format!("take {fewer} for as many losses, or {more} for one more");
    let span = at.of("controlPlane.count")?;
    Some(ValueError::new(message).hint(hint).at(span).warning())
}

/// kubeadm joins no further control-plane node to a cluster whose endpoint is one node's own address.
fn endpoint(spec: &ClusterSpec, at: &Positions) -> Option<Mark> {
    let ControlPlaneSpec {
        count, endpoint, ..
    } = spec.control_plane;
    if endpoint == Endpoint::LoadBalancer || count == 1 {
        return None;
    }
    let message = format!("{count} control-plane nodes need an endpoint that is none of theirs");
    let hint = "take `endpoint: none` out: `regent up` then gives a running cluster its load balancer, in place; \
                or write `count: 1`";
    let span = at.of("controlPlane.endpoint")?;
    Some(ValueError::new(message).hint(hint).at(span))
}

/// A schedule without a recipient is no backup.
fn backup(spec: &ClusterSpec, at: &Positions) -> Option<Mark> {
    if spec.backup.recipient.is_some() || at.of("backup.recipient").is_some() {
        return None;
    }
    let keys = ["every", "keep", "to"].map(|key| at.of(&format!("backup.{key}")));
    let span = keys.into_iter().flatten().next()?;
    let message = "backups are encrypted, and nobody is named who may read them";
    let hint = "`age-keygen -o KEY` prints a recipient; write it as `recipient: age1…`";
    Some(ValueError::new(message).hint(hint).at(span))
}

/// A libvirt that runs already runs one kind of nodes.
fn driver(spec: &ClusterSpec, at: &Positions) -> Option<Mark> {
    let hypervisor = &spec.hypervisor;
    let (DriverChoice::Fixed(wanted), Some(runs)) =
        (hypervisor.driver, hypervisor.connect.driver())
    else {
        return None;
    };
    if wanted == runs {
        return None;
    }
    let connect = &hypervisor.connect;
    let message =
        format!("hypervisor.driver is `{wanted}`, and the libvirt at {connect} runs `{runs}`");
    let hint =
        format!("write `driver: {runs}`, or connect to `{wanted}:///system` or a `private` one");
    Some(
        ValueError::new(message)
            .hint(hint)
            .at(at.of("hypervisor.driver")?),
    )
}
