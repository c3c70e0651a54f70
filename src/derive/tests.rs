use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::*;
use crate::plan::*;
use crate::render::files;
use crate::spec::*;

fn spec(control_plane: u8, workers: u8) -> ClusterSpec {
    let mut spec = ClusterSpec::new("demo".parse().unwrap());
    spec.control_plane.count = control_plane;
    spec.workers.count = workers;
    spec
}

fn plan(spec: &ClusterSpec) -> Plan {
    super::plan(spec, Driver::Lxc, Beside::default())
}

fn steps(plan: &Plan) -> Vec<String> {
    crate::recipe::steps(plan)
        .iter()
        .map(crate::recipe::Action::describe)
        .collect()
}

/// A plan's summary and all its files as one text, each under its path. Files that say the same are written once,
/// under all their paths, so that a reviewer reads `/etc/hosts` once and not five times.
fn everything(plan: &Plan) -> String {
    let mut files = vec![("=== summary".to_owned(), summary(plan, &steps(plan)))];
    // The summary has the steps.
    let others = files_of(plan)
        .into_iter()
        .filter(|(path, _)| path != "steps.txt");
    for (path, text) in others {
        match files.iter_mut().find(|(_, known)| *known == text) {
            Some((paths, _)) => paths.push_str(&format!("\n=== {path}")),
            None => files.push((format!("=== {path}"), text)),
        }
    }
    files
        .into_iter()
        .map(|(paths, text)| format!("{paths}\n{text}\n"))
        .collect()
}

fn files_of(plan: &Plan) -> Vec<(camino::Utf8PathBuf, String)> {
    files(plan, &steps(plan)).unwrap()
}

fn review(name: &str, plan: &Plan) {
    insta::with_settings!({
        snapshot_path => concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots/plan"),
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, {
        insta::assert_snapshot!(name, everything(plan));
    });
}

#[test]
fn the_smallest_cluster() {
    review("small-1+1", &plan(&spec(1, 1)));
    // As plain `kubeadm init` has it.
    let mut plain = spec(1, 1);
    plain.control_plane.endpoint = Endpoint::None;
    review("without-endpoint-1+1", &plan(&plain));
}

#[test]
fn the_default_cluster() {
    review("default-3+2", &plan(&spec(3, 2)));
}

#[test]
fn a_large_cluster_in_other_ranges() {
    let mut large = spec(5, 3);
    large.name = "field-lab".parse().unwrap();
    large.network.cidr = "10.20.4.0/22".parse().unwrap();
    large.network.pod_subnet = "172.20.0.0/14".parse().unwrap();
    large.network.service_subnet = "192.168.128.0/20".parse().unwrap();
    large.certificates = CertificateMode::Copy;
    large.control_plane.memory = Memory(1536 << 20);
    let beside = Beside {
        manifests: vec![(
            "10-namespace.yaml".to_owned(),
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: team}\n".to_owned(),
        )],
        ..Beside::default()
    };
    review("large-5+3", &super::plan(&large, Driver::Lxc, beside));
}

#[test]
fn stock_timers() {
    let mut stock = spec(3, 2);
    stock.load_balancer.tuning = Tuning::KubeadmDocs;
    review("kubeadm-docs-3+2", &plan(&stock));
}

#[test]
fn what_kubeadm_is_told_besides() {
    let wishes = include_str!("../../tests/fixtures/good/wishes.yaml");
    let wishes = crate::spec::load(wishes, "wishes.yaml", &Default::default()).unwrap();
    let beside = Beside {
        patches: vec![(
            "kube-scheduler+merge.yaml".to_owned(),
            "metadata: {annotations: {owner: lab}}\n".to_owned(),
        )],
        ..Beside::default()
    };
    review(
        "wishes-3+2",
        &super::plan(&wishes.spec, Driver::Lxc, beside),
    );
}

#[test]
fn virtual_machines_differ_in_what_kubeadm_must_overlook() {
    review(
        "qemu-1+0",
        &super::plan(&spec(1, 0), Driver::Qemu, Beside::default()),
    );
}

#[test]
fn on_another_host_files_are_volumes() {
    let mut remote = spec(1, 0);
    remote.hypervisor.connect = "qemu+ssh://root@host/system".parse().unwrap();
    let plan = super::plan(&remote, Driver::Qemu, Beside::default());
    let files: String = files_of(&plan)
        .into_iter()
        .filter(|(path, _)| path.starts_with("libvirt"))
        .map(|(path, text)| format!("=== {path}\n{text}\n"))
        .collect();
    insta::with_settings!({
        snapshot_path => concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots/plan"),
        prepend_module_to_snapshot => false,
        omit_expression => true,
    }, {
        insta::assert_snapshot!("remote-1+0", files);
    });
}

/// Whatever runs the nodes, the same is done, with the same files: a driver's own are its domains' documents, and two of
/// kubeadm's settings, since a container has its host's kernel.
#[test]
fn a_driver_changes_nothing_but_what_is_its_own() {
    let [lxc, qemu] = [Driver::Lxc, Driver::Qemu]
        .map(|driver| super::plan(&spec(3, 2), driver, Beside::default()));
    let drivers_own = |path: &str| {
        path.starts_with("libvirt/") && path != "libvirt/network.xml" || path.contains("/kubeadm-")
    };
    assert_eq!(steps(&lxc), steps(&qemu));
    assert_eq!(
        Plan {
            driver: Driver::Qemu,
            ..lxc.clone()
        },
        qemu
    );
    let (ours, theirs) = (files_of(&lxc), files_of(&qemu));
    let paths = |files: &[(camino::Utf8PathBuf, String)]| {
        files
            .iter()
            .map(|(path, _)| path.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(paths(&ours), paths(&theirs));
    for ((path, ours), (_, theirs)) in ours.iter().zip(&theirs) {
        assert_eq!(ours != theirs, drivers_own(path.as_str()), "{path}");
    }
}

#[test]
fn planning_and_writing_takes_less_than_50_ms() {
    // The best of some, since the machine may be busy with other tests.
    let best = (0..5)
        .map(|_| {
            let began = Instant::now();
            files_of(&plan(&spec(3, 2)));
            began.elapsed()
        })
        .min()
        .unwrap();
    assert!(best < Duration::from_millis(50), "{best:?}");
}

fn any_spec() -> impl Strategy<Value = ClusterSpec> {
    let name = "[a-z]([a-z0-9-]{0,18}[a-z0-9])?";
    let workers = prop_oneof![9 => 0..=6_u8, 1 => 0..=224_u8];
    (name, 1..=9_u8, workers, any::<(u32, bool)>()).prop_map(
        |(name, control_plane, workers, (base, large))| {
            let mut spec = spec(control_plane, workers);
            spec.name = name.parse().unwrap();
            let range =
                |base: u32, prefix| ipnet::Ipv4Net::new(base.into(), prefix).unwrap().trunc();
            spec.network.cidr = range(base, if large { 16 } else { 24 });
            // 16 + 224 subnets of 24 bits fit into 16.
            spec.network.pod_subnet = range(!base, 16);
            spec
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn nothing_is_shared_and_everything_is_in_its_range(spec in any_spec()) {
        let plan = plan(&spec);
        let nodes = &plan.nodes;
        let distinct = |values: Vec<String>| values.iter().collect::<BTreeSet<_>>().len() == values.len();
        let all = |f: &dyn Fn(&NodePlan) -> String| nodes.iter().map(f).collect::<Vec<_>>();
        let with = |mut values: Vec<String>, more: String| { values.push(more); values };
        prop_assert_eq!(nodes.len(), 1 + usize::from(spec.control_plane.count) + usize::from(spec.workers.count));
        prop_assert!(distinct(all(&|n| n.name.to_string())));
        prop_assert!(distinct(with(all(&|n| n.address.to_string()), plan.network.gateway.to_string())));
        prop_assert!(distinct(with(all(&|n| n.mac.to_string()), plan.network.mac.to_string())));
        prop_assert!(distinct(with(all(&|n| n.uuid.to_string()), plan.network.uuid.to_string())));
        prop_assert!(distinct(nodes.iter().filter_map(|n| n.pod_subnet).map(|net| net.to_string()).collect()));
        let edge = [plan.network.cidr.network(), plan.network.cidr.broadcast()];
        for node in nodes {
            prop_assert!(plan.network.cidr.contains(&node.address) && !edge.contains(&node.address));
            prop_assert!(node.pod_subnet.is_none_or(|net| plan.network.pod_subnet.contains(&net)));
            // Locally administered, unicast.
            prop_assert_eq!(node.mac.0[0] & 3, 2);
            prop_assert!(node.files.iter().all(|file| file.path.is_absolute()));
        }
        prop_assert!(plan.network.bridge.len() <= 15);
    }

    #[test]
    fn a_further_worker_touches_only_what_names_it(spec in any_spec()) {
        let before = plan(&spec);
        let mut grown = spec;
        grown.workers.count = (grown.workers.count + 1).min(224);
        let after = plan(&grown);
        for old in &before.nodes {
            let new = after.node(&old.name).unwrap();
            for (old, new) in old.files.iter().zip(&new.files) {
                let names_others = old.path.ends_with("hosts") || old.path.ends_with("10-lab.network");
                prop_assert!(names_others || old == new, "{}", old.path);
            }
            let bare = |node: &NodePlan| NodePlan { files: Vec::new(), ..node.clone() };
            prop_assert_eq!(bare(old), bare(new));
            prop_assert_eq!(old.files.len(), new.files.len());
        }
        prop_assert_eq!(before.network, after.network);
    }

    #[test]
    fn two_clusters_share_no_identifier(a in any_spec(), b in any_spec()) {
        prop_assume!(a.name != b.name);
        let [a, b] = [plan(&a), plan(&b)];
        prop_assert_ne!(a.network.bridge, b.network.bridge);
        prop_assert_ne!(a.network.uuid, b.network.uuid);
        let uuids: BTreeSet<Uuid> = a.nodes.iter().map(|n| n.uuid).collect();
        prop_assert!(b.nodes.iter().all(|n| !uuids.contains(&n.uuid)));
    }
}

/// The same arguments give the same bytes because nothing else can be asked: no file, environment, clock, socket or
/// randomness is in reach of these modules, and no map without an order.
#[test]
fn nothing_impure_is_in_reach() {
    const IMPURE: [&str; 12] = [
        "std::fs",
        "std::env",
        "std::time::Instant",
        "SystemTime",
        "TcpStream",
        "UdpSocket",
        "std::process",
        "std::io::stdin",
        "std::thread",
        "tokio",
        "HashMap",
        "HashSet",
    ];
    let mut pending = vec!["spec", "plan", "render"]
        .into_iter()
        .map(|module| {
            camino::Utf8PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src")).join(module)
        })
        .collect::<Vec<_>>();
    let mut read = 0;
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(
                path.read_dir_utf8()
                    .unwrap()
                    .map(|entry| entry.unwrap().into_path()),
            );
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        // Tests may look at what they like. `machine.rs` looks at this machine's memory, for a warning.
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        if matches!(path.file_name(), Some("tests.rs" | "machine.rs")) {
            continue;
        }
        read += 1;
        for word in IMPURE {
            assert!(!code.contains(word), "{path} uses {word}");
        }
    }
    assert!(read > 10);
}

/// A lab records its plan; what it reads back must be the same, to the last byte of every file.
#[test]
fn plans_read_back_as_they_were_written() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = || vec![("a.yaml".to_owned(), "kind: \"X\"\n# ä\n".to_owned())];
    let beside = || Beside {
        manifests: text(),
        patches: text(),
        images: vec![ImageArchive {
            file: "app.tar".into(),
            source: Default::default(),
            sha256: "00ff".to_owned(),
            names: ["docker.io/library/app:1".to_owned()].into(),
        }],
    };
    let mut read = 0;
    for directory in ["examples", "vmtests"] {
        for entry in std::fs::read_dir(root.join(directory)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "yaml") {
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let loaded = load(&text, "cluster.yaml", &Machine::default()).unwrap();
            for driver in [Driver::Lxc, Driver::Qemu] {
                let plan = super::plan(&loaded.spec, driver, beside());
                let text = serde_json::to_string(&plan).unwrap();
                let again: Plan = serde_json::from_str(&text).unwrap();
                assert_eq!(again, plan, "{}", path.display());
                assert_eq!(difference(&again, &plan), []);
                serde_json::from_str::<Plan>(&text.replace("\"manifests\"", "\"others\""))
                    .unwrap_err();
                read += 1;
            }
        }
    }
    assert!(read >= 8, "{read}");
}
