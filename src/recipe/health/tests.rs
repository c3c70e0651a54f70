//! What the checks believe, and what they do not.

use jiff::{SignedDuration, Timestamp};

use super::*;
use crate::kubernetes::{Lease, PodStatus, Rollout};
use crate::recipe::{change, world::Guest};
use crate::spec::{ClusterSpec, Driver};

const NOW: Timestamp = Timestamp::constant(1_764_000_000, 0);

fn ago(seconds: i64) -> Timestamp {
    NOW - SignedDuration::from_secs(seconds)
}

/// A cluster that runs well, each node booted 100 s ago.
fn healthy() -> (Plan, World) {
    let mut spec = ClusterSpec::new("demo".parse().unwrap());
    (spec.control_plane.count, spec.workers.count) = (3, 1);
    let plan = crate::derive::plan(&spec, Driver::Lxc, crate::derive::Beside::default());
    let mut world = change::after_up(&plan);
    let servers: BTreeSet<_> = plan.control_plane().map(|node| node.name.clone()).collect();
    for node in &plan.nodes {
        guest(&mut world, node.name.as_str(), |guest| {
            (guest.booted, guest.now) = (Some(ago(100)), Some(NOW));
            guest.past = guest.now;
            guest.servers = servers.clone();
        });
        lease(&mut world, node.name.as_str(), 3);
    }
    let pod = |name: &str, node: &str| PodStatus {
        name: name.to_owned(),
        uid: name.to_owned(),
        node: Some(node.to_owned()),
        ready: true,
        terminating: false,
        containers: vec![format!("{name}1")],
    };
    let api = api(&mut world);
    api.dns = Some(Rollout {
        wanted: 2,
        available: 2,
        observed: true,
    });
    api.dns_pods = vec![pod("a", "m1"), pod("b", "m2")];
    let hosts = ["m1", "m2", "m3", "w1"];
    api.proxy_pods = hosts
        .map(|node| pod(&format!("proxy-{node}-"), node))
        .to_vec();
    for node in hosts {
        guest(&mut world, node, |guest| {
            guest.containers = [format!("proxy-{node}-1"), "other".to_owned()].into();
        });
    }
    for (container, node) in [("a1", "m1"), ("b1", "m2")] {
        guest(&mut world, node, |guest| {
            guest.containers.insert(container.to_owned());
        });
    }
    (plan, world)
}

fn guest(world: &mut World, node: &str, change: impl FnOnce(&mut Guest)) {
    match world.nodes.get_mut(&node.parse().unwrap()) {
        Some(Inside::Answers(guest)) => change(guest),
        other => panic!("{other:?}"),
    }
}

fn api(world: &mut World) -> &mut ApiSeen {
    match &mut world.api {
        Api::Answers(seen) => seen,
        Api::Silent(why) => panic!("{why}"),
    }
}

fn lease(world: &mut World, node: &str, seconds: i64) {
    let lease = Lease {
        renewed: Some(ago(seconds)),
        seconds: 20,
    };
    api(world).leases.insert(node.to_owned(), lease);
}

/// What is missing, check by check.
fn missing((plan, world): &(Plan, World)) -> Vec<String> {
    checks(plan, world)
        .into_iter()
        .filter_map(|check| Some(format!("{}: {}", check.name, check.missing?)))
        .collect()
}

#[test]
fn a_healthy_cluster_lacks_nothing() {
    assert_eq!(missing(&healthy()), Vec::<String>::new());
}

/// Every node was cut and has just booted: the API shows what was.
#[test]
fn case_stale() {
    let mut cluster = healthy();
    let nodes = cluster.0.nodes.clone();
    for node in &nodes {
        guest(&mut cluster.1, node.name.as_str(), |guest| {
            guest.booted = Some(ago(2));
            guest.containers = BTreeSet::new();
        });
    }
    assert_eq!(
        missing(&cluster),
        [
            "nodes: has not reported since it booted: m1, m2, m3, w1",
            "DNS: coredns 0 of 2",
            "kube-proxy: does not run: m1, m2, m3, w1"
        ]
    );
    for node in &nodes {
        guest(&mut cluster.1, node.name.as_str(), |guest| {
            guest.containers.insert(format!("proxy-{}-1", node.name));
        });
    }
    // Kubelets have reported, the pods have not been started again.
    for node in &nodes {
        lease(&mut cluster.1, node.name.as_str(), 1);
    }
    assert_eq!(missing(&cluster), ["DNS: coredns 0 of 2"]);
    // A new container runs, and its kubelet has not said so.
    guest(&mut cluster.1, "m1", |guest| {
        guest.containers.insert("a2".to_owned());
    });
    assert_eq!(missing(&cluster), ["DNS: coredns 0 of 2"]);
    api(&mut cluster.1).dns_pods[0].containers = vec!["a2".to_owned()];
    assert_eq!(missing(&cluster), ["DNS: coredns 1 of 2"]);
}

#[test]
fn a_kubelet_that_has_gone_silent_is_missing_before_the_controller_notices() {
    let mut cluster = healthy();
    lease(&mut cluster.1, "w1", 21);
    assert_eq!(
        missing(&cluster),
        ["nodes: has not reported since it booted: w1"]
    );
}

#[test]
fn cordoned_and_tainted_by_hand_is_healthy() {
    let mut cluster = healthy();
    let nodes = &mut api(&mut cluster.1).nodes;
    nodes[0].unschedulable = true;
    nodes[1].taints = vec!["mine=yes:NoExecute".to_owned()];
    assert_eq!(missing(&cluster), Vec::<String>::new());
}

#[test]
fn what_is_silent_is_named() {
    let mut cluster = healthy();
    let m3: NodeName = "m3".parse().unwrap();
    let silent = Inside::Silent("no answer within 4s".to_owned());
    cluster.1.nodes.insert(m3.clone(), silent);
    cluster.1.etcd.statuses.remove(&m3);
    assert_eq!(
        missing(&cluster),
        [
            "domains: does not answer: m3 (no answer within 4s)",
            "etcd: no healthy voting member: m3",
            "nodes: has not reported since it booted: m3",
            "kube-proxy: does not run: m3",
        ]
    );
    cluster.1.api = Api::Silent("connection refused".to_owned());
    assert!(missing(&cluster).contains(&"API: connection refused".to_owned()));
}

#[test]
fn alarms_and_expired_certificates_are_named() {
    let mut cluster = healthy();
    let m1: NodeName = "m1".parse().unwrap();
    if let Some(status) = cluster.1.etcd.statuses.get_mut(&m1) {
        status.errors = vec!["alarm:NOSPACE ".to_owned()];
    }
    guest(&mut cluster.1, "m1", |guest| {
        guest.certificates = vec![("CN=kube-apiserver".to_owned(), ago(10))];
    });
    assert_eq!(
        missing(&cluster),
        [
            "etcd: alarm: m1 says alarm:NOSPACE".to_owned(),
            format!(
                "certificates: expired: m1: CN=kube-apiserver ended {}",
                ago(10)
            ),
        ]
    );
}

#[test]
fn servers_are_those_with_a_good_check_that_was_done() {
    let csv = "# pxname,svname,qcur,status,weight,check_status\n\
               masters,m1,0,UP,1,L7OK\nmasters,m2,0,DOWN 1/2,1,L4CON\nmasters,m3,0,UP 2/3,1,* L7OK\n\
               masters,m4,0,UP,1,INI\nany,m2,0,no check,1,\n";
    let up: Vec<_> = servers(csv)
        .into_iter()
        .map(|name| name.to_string())
        .collect();
    assert_eq!(up, ["m1", "m3"]);
    assert!(servers("").is_empty());
    assert!(servers("# pxname,other\nmasters,m1\n").is_empty());
}
