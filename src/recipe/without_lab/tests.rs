//! From nothing, killed, damaged, cut.

use std::fs;

use futures::future::join_all;

use super::bench::{Bench, wipe};
use crate::fault::{self, FaultError};
use crate::ops::report;
use crate::provider;
use crate::recipe::{Outcome, RecipeError};

/// How many kinds of actions there are.
const ACTIONS: usize = 31;

/// A loop that two cores share with other tests.
fn on_threads(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(test);
}

async fn assert_healthy(bench: &Bench, after: &str) {
    let told = bench.up().await;
    assert!(
        matches!(told, Ok(Outcome::Unchanged)),
        "after {after}: {told:?}"
    );
}

#[test]
fn from_nothing_to_a_cluster() {
    on_threads(async {
        let bench = Bench::new(3, 1);
        assert_eq!(bench.up().await.unwrap(), Outcome::Changed);
        assert_healthy(&bench, "up").await;
        assert_eq!(bench.truth.members().len(), 3);
        assert_eq!(bench.truth.nodes().len(), 4);
    });
}

/// How far apart the kills are, in commands, and how many clusters are killed at a time.
const APART: usize = 23;
const AT_A_TIME: usize = 3;

/// A kill -9 of regent while a node does what it was told, whatever that is.
#[test]
fn killed_anywhere_it_goes_on() {
    on_threads(async {
        let mut points = (1..).step_by(APART);
        let mut kills = 0;
        loop {
            let some = points.by_ref().take(AT_A_TIME).map(killed_at);
            let killed = join_all(some).await;
            kills += killed.iter().filter(|killed| **killed).count();
            if killed.contains(&false) {
                break;
            }
        }
        assert!(kills > 6, "only {kills} kills");
    });
}

/// Whether `up` from nothing was killed at that command, and not done before.
async fn killed_at(command: usize) -> bool {
    let bench = Bench::new(2, 1);
    if bench.up_killed_at(command).await.is_some() {
        return false;
    }
    let told = bench.up().await;
    assert!(told.is_ok(), "killed at command {command}: {told:?}");
    assert_healthy(&bench, &format!("a kill at command {command}")).await;
    true
}

/// What somebody does to a cluster, and the action that mends it.
type Damage = (&'static str, fn(&Bench), &'static str);

const DAMAGES: [Damage; 19] = [
    (
        "a member removed from etcd",
        |bench| {
            let m2 = bench.truth.members().swap_remove(1);
            bench.truth.remove_member(&m2.id);
        },
        "join control plane",
    ),
    (
        "a member that nobody planned",
        |bench| {
            let members = bench.truth.root.join("cluster/members");
            fs::write(members.join("m9"), "99 true https://127.0.0.9:2380").unwrap();
        },
        "forget member",
    ),
    (
        "a node that nobody planned",
        |bench| bench.add("w9"),
        "remove",
    ),
    (
        "a Node deleted",
        |bench| bench.truth.delete_node("w1"),
        "register",
    ),
    (
        "a Node without its label",
        |bench| fs::write(bench.truth.root.join("cluster/nodes/m2"), "").unwrap(),
        "mark",
    ),
    (
        "a control-plane node reset",
        |bench| {
            let all = ["etc/kubernetes", "var/lib/etcd", "run/units/kubelet"];
            remove(bench, "m1", &all);
        },
        "forget member",
    ),
    (
        "a worker half reset",
        |bench| {
            let most = ["etc/kubernetes/kubelet.conf", "run/units/kubelet"];
            remove(bench, "w1", &most);
        },
        "reset",
    ),
    (
        "certificates removed",
        |bench| {
            let lost = [
                "etc/kubernetes/pki/apiserver.crt",
                "etc/kubernetes/pki/etcd/peer.key",
                "etc/kubernetes/pki/sa.pub",
            ];
            remove(bench, "m3", &lost);
        },
        "restore",
    ),
    (
        "a certificate that has ended",
        |bench| {
            let ended = bench.truth.root.join("cluster/ended.crt");
            let pki = bench.disk("m1").join("etc/kubernetes/pki");
            fs::copy(ended, pki.join("apiserver.crt")).unwrap();
        },
        "renew certificates",
    ),
    (
        "a certificate that ends within the month",
        |bench| {
            let ending = bench.truth.root.join("cluster/ending.crt");
            let pki = bench.disk("m2").join("etc/kubernetes/pki");
            fs::copy(ending, pki.join("apiserver.crt")).unwrap();
        },
        "renew certificates",
    ),
    (
        "a kubelet stopped",
        |bench| remove(bench, "w1", &["run/units/kubelet"]),
        "kubelet",
    ),
    (
        "the load balancer stopped",
        |bench| remove(bench, "lb1", &["run/units/haproxy"]),
        "load balancer",
    ),
    (
        "a planned file changed",
        |bench| fs::write(bench.disk("m2").join("etc/hosts"), "by hand").unwrap(),
        "configure",
    ),
    (
        "an image deleted",
        |bench| remove(bench, "w1", &["var/lib/regent/imported"]),
        "images",
    ),
    (
        "the administrator's kubeconfig lost",
        |bench| fs::remove_file(bench.site().kubeconfig()).unwrap(),
        "kubeconfig",
    ),
    (
        "kubeconfigs of another place",
        |bench| {
            for file in [
                "m2/etc/kubernetes/admin.conf",
                "w1/etc/kubernetes/kubelet.conf",
            ] {
                let file = bench.truth.root.join(file);
                let text = fs::read_to_string(&file).unwrap();
                fs::write(&file, text.replace("https://127.", "https://128.")).unwrap();
            }
        },
        "repoint",
    ),
    (
        "an API server's certificate without the endpoint's names",
        |bench| {
            let plain = bench.truth.root.join("cluster/plain.crt");
            let pki = bench.disk("m2").join("etc/kubernetes/pki");
            fs::copy(plain, pki.join("apiserver.crt")).unwrap();
        },
        "serving certificate",
    ),
    (
        "kubeadm's configuration without an endpoint",
        |bench| fs::write(bench.truth.root.join("cluster/config"), "").unwrap(),
        "endpoint",
    ),
    (
        "a kubeadm that works on a node",
        |bench| {
            let unit = bench.disk("w1").join("run/units/regent-kubeadm");
            fs::write(unit, "until it is waited for").unwrap();
        },
        "await kubeadm",
    ),
];

/// What is damaged is mended by one `up`, by the action that is for it, and nothing else is touched.
#[test]
fn what_is_damaged_is_mended() {
    on_threads(async {
        let bench = Bench::new(3, 1);
        bench.up().await.unwrap();
        let mut all = bench.steps();
        let cluster = bench.truth.cluster();
        for (what, damage, action) in DAMAGES {
            damage(&bench);
            let told = bench.up().await;
            assert!(
                matches!(told, Ok(Outcome::Changed)),
                "after {what}: {told:?}"
            );
            let steps = bench.steps();
            assert!(steps.contains(action), "after {what}: {steps:?}");
            all.extend(steps);
            assert_healthy(&bench, what).await;
        }
        assert_eq!(bench.truth.cluster(), cluster, "another cluster was begun");
        assert_eq!(bench.truth.members().len(), 3);
        for node in &bench.truth.plan.nodes {
            bench.cut(node.name.as_str()).await;
        }
        bench.up().await.unwrap();
        all.extend(bench.steps());
        // `one_becomes_three` and `what_is_left_of_a_lost_quorum_is_restored` have what is done once in a cluster's life.
        all.extend(["save", "set aside", "revive etcd", "recover etcd"].map(str::to_owned));
        assert_eq!(
            all.len(),
            ACTIONS,
            "not every action was carried out: {all:?}"
        );
    });
}

/// Removes what is there of it on a node.
fn remove(bench: &Bench, node: &str, paths: &[&str]) {
    for path in paths {
        let path = bench.disk(node).join(path);
        let removed = match path.is_dir() {
            true => fs::remove_dir_all(&path),
            false => fs::remove_file(&path),
        };
        removed.unwrap_or_else(|error| panic!("{path}: {error}"));
    }
}

/// Every node has its data again; a lost disk is made anew; who is dead meanwhile is named at once.
#[test]
fn power_and_disks_are_lost() {
    on_threads(async {
        let bench = Bench::new(3, 1);
        bench.up().await.unwrap();
        for node in ["m1", "w1"] {
            bench.cut(node).await;
        }
        let site = bench.site();
        let told = Box::pin(report(&site, &site.lab.record(), None)).await;
        let seen = told.status;
        let missing: Vec<_> = seen
            .checks
            .iter()
            .filter_map(|check| check.missing.clone())
            .collect();
        assert!(missing[0].contains("not running: m1, w1"), "{missing:?}");
        drop(site);
        wipe(&bench.disk("w1"));
        let before: Vec<_> = bench
            .truth
            .members()
            .iter()
            .map(|member| member.id.clone())
            .collect();
        assert_eq!(bench.up().await.unwrap(), Outcome::Changed);
        assert_healthy(&bench, "a power cut and a lost disk").await;
        for node in ["lb1", "m1", "m2", "m3", "w1"] {
            bench.cut(node).await;
        }
        assert_eq!(bench.up().await.unwrap(), Outcome::Changed);
        let after: Vec<_> = bench
            .truth
            .members()
            .iter()
            .map(|member| member.id.clone())
            .collect();
        assert_eq!(before, after);
    });
}

/// The last copy of anything is never removed: `up` says what is missing, and the data stays.
#[test]
fn the_last_copy_stays() {
    on_threads(async {
        let bench = Bench::new(1, 1);
        bench.up().await.unwrap();
        let wal = bench.disk("m1").join("var/lib/etcd/member/wal/0.wal");
        let data = fs::read(&wal).unwrap();
        // What regent remembers of a node is no reason for anything.
        remove(&bench, "m1", &["var/lib/regent/configured"]);
        assert_eq!(bench.up().await.unwrap(), Outcome::Changed);
        assert_eq!(fs::read(&wal).unwrap(), data);
        // Nothing can be made of etcd's data without the keys.
        remove(
            &bench,
            "m1",
            &["etc/kubernetes/pki", "etc/kubernetes/admin.conf"],
        );
        let told = bench.up().await.unwrap_err();
        assert!(matches!(told, RecipeError::Refused(_)), "{told:?}");
        assert_eq!(fs::read(&wal).unwrap(), data);
    });
}

/// Who comes later has what the others have; who is in the file no more goes, and its pods before it.
#[test]
fn nodes_come_and_go() {
    on_threads(async {
        let bench = Bench::new(3, 2);
        bench.up_without(&["m2", "m3", "w2"]).await.unwrap();
        let cluster = bench.truth.cluster();
        bench.steps();
        assert_eq!(bench.up().await.unwrap(), Outcome::Changed);
        let steps = bench.steps();
        for step in ["images", "join control plane", "join worker"] {
            assert!(steps.contains(step), "{steps:?}");
        }
        assert_healthy(&bench, "nodes were added").await;
        assert_eq!(bench.truth.cluster(), cluster, "another cluster was begun");
        assert_eq!(bench.truth.members().len(), 3);
        // Killed a little later each time, until it comes to its end.
        let mut commands = 1;
        while bench.killed_without(&["m3", "w2"], commands).await {
            commands += 6;
            assert!(commands < 200, "it does not come to an end");
        }
        let steps = bench.steps();
        for step in ["drain", "forget member", "remove", "delete node"] {
            assert!(steps.contains(step), "{steps:?}");
        }
        let told = bench.up_without(&["m3", "w2"]).await;
        assert!(matches!(told, Ok(Outcome::Unchanged)), "{told:?}");
        assert_eq!(bench.truth.members().len(), 2);
        assert_eq!(bench.truth.nodes().len(), 3);
        assert_eq!(
            bench.truth.pods("w2"),
            0,
            "its pods were not asked to leave"
        );
        assert_eq!(bench.up().await.unwrap(), Outcome::Changed);
        assert_healthy(&bench, "nodes went and came").await;
    });
}

/// A cluster by plain `kubeadm init` gets its endpoint and two more control-plane nodes in place; killed anywhere it goes on,
/// and back where no second member is.
#[test]
fn one_becomes_three() {
    on_threads(async {
        let bench = Bench::new(3, 1);
        bench.up_alone().await.unwrap();
        assert_eq!(bench.up_alone().await.unwrap(), Outcome::Unchanged);
        let cluster = bench.truth.cluster();
        let only = bench.truth.members();
        bench.steps();
        // Killed a little later each time, it goes back as long as it may.
        let (mut commands, mut back) = (1, 0);
        while bench.up_killed_at(commands).await.is_none() {
            if bench.truth.members().len() == 1 && commands % 2 == 0 && back < 2 {
                back += usize::from(bench.up_alone().await.unwrap() == Outcome::Changed);
                assert_eq!(bench.up_alone().await.unwrap(), Outcome::Unchanged);
            }
            commands += 5;
            assert!(commands < 300, "it does not come to an end");
        }
        assert_eq!(back, 2);
        let steps = bench.steps();
        for step in ["save", "repoint", "endpoint"] {
            assert!(steps.contains(step), "{steps:?}");
        }
        // kubeadm makes it whether or not regent lives.
        let served = bench.disk("m1").join("etc/kubernetes/pki/apiserver.crt");
        let with_names = bench.truth.root.join("cluster/pki/apiserver.crt");
        assert_eq!(fs::read(served).unwrap(), fs::read(with_names).unwrap());
        assert_healthy(&bench, "it moved").await;
        assert_eq!(bench.truth.cluster(), cluster, "another cluster was begun");
        assert_eq!(bench.truth.members()[0].id, only[0].id);
        let saved = bench.site().lab.paths().saved();
        assert!(saved.join("m1.tar").exists() && saved.join("m1.db").exists());
        let told = bench.up_alone().await.unwrap_err().to_string();
        assert!(told.contains("loadBalancer → none"), "{told}");
    });
}

/// With two of three disks gone, what is left goes on when the user gives the rest up; not beside a quorum.
#[test]
fn what_is_left_of_a_lost_quorum_is_restored() {
    on_threads(async {
        let bench = Bench::new(3, 1);
        bench.up().await.unwrap();
        let lost = ["m2", "m3"];
        let told = bench.restore(&lost).await.unwrap_err().to_string();
        assert!(told.contains("etcd has a quorum"), "{told}");
        let told = bench.set_aside("m2").await.unwrap_err().to_string();
        assert!(told.contains("etcd has a quorum"), "{told}");
        for node in lost {
            bench.cut(node).await;
        }
        let told = bench.set_aside("m1").await.unwrap_err().to_string();
        assert!(told.contains("its etcd member answers"), "{told}");
        bench.set_aside("m2").await.unwrap();
        wipe(&bench.disk("m3"));
        let told = bench.restore(&lost[..1]).await.unwrap_err().to_string();
        assert!(told.contains("--accept-data-loss m2,m3"), "{told}");
        // An earlier one died when the two directories had changed places: this is the only copy of what was before.
        let etcd = bench.disk("m1").join("var/lib/etcd");
        let restored = etcd.join("restored/member");
        fs::create_dir_all(&restored).unwrap();
        fs::write(restored.join("before-restore"), "").unwrap();
        fs::write(restored.join("earlier"), "").unwrap();
        bench.steps();
        let done = bench.restore(&lost).await.unwrap();
        assert_eq!(done.outcome, Outcome::Changed);
        let survivor = done.survivor.unwrap();
        assert!(survivor.node.as_str() == "m1" && survivor.revision.is_some());
        assert!(bench.steps().contains("revive etcd"));
        assert_healthy(&bench, "etcd was revived").await;
        assert_eq!(bench.truth.members().len(), 3);
        assert_eq!(bench.truth.nodes().len(), 4);
        assert!(!etcd.join("restored").exists());
        let kept = bench.disk("m1").join("var/lib/regent").read_dir_utf8();
        let kept: Vec<_> = kept
            .unwrap()
            .map(|entry| entry.unwrap().into_path())
            .filter(|path| path.as_str().contains("/before-restore-"))
            .map(|path| path.join("member"))
            .collect();
        assert_eq!(kept.len(), 2, "{kept:?}");
        assert!(kept.iter().any(|kept| kept.join("earlier").exists()));
        let before = kept
            .iter()
            .find_map(|kept| fs::read_to_string(kept.join("snap/db")).ok());
        assert_eq!(before.as_deref(), Some("data\n"));
    });
}

/// Nobody has etcd's data any more: it comes from a backup, with the cluster's keys; not while anybody has it.
#[test]
fn a_backup_brings_back_what_nobody_has() {
    on_threads(async {
        let bench = Bench::new(3, 1);
        bench.up().await.unwrap();
        let backup = bench.backup();
        let told = bench
            .restore_from(backup.clone(), &[])
            .await
            .unwrap_err()
            .to_string();
        assert!(told.contains("etcd has a quorum"), "{told}");
        for node in ["m2", "m3"] {
            bench.cut(node).await;
            wipe(&bench.disk(node));
        }
        let told = bench
            .restore_from(backup.clone(), &["m2", "m3"])
            .await
            .unwrap_err()
            .to_string();
        assert!(
            told.contains("m1 has etcd's data") && told.contains("a backup has less"),
            "{told}"
        );
        bench.cut("m1").await;
        wipe(&bench.disk("m1"));
        let told = bench.up().await.unwrap_err().to_string();
        assert!(told.contains("regent restore --from"), "{told}");
        bench.steps();
        let done = bench.restore_from(backup.clone(), &[]).await.unwrap();
        assert_eq!(done.survivor.unwrap().revision, Some(backup.about.revision));
        assert!(bench.steps().contains("recover etcd"));
        assert_healthy(&bench, "a backup").await;
        assert_eq!(bench.truth.members().len(), 3);
    });
}

/// A new node comes in the place of a sick one, also of the first; the last copy of etcd's data stays.
#[test]
fn nodes_are_replaced() {
    on_threads(async {
        let bench = Bench::new(3, 1);
        bench.up().await.unwrap();
        let cluster = bench.truth.cluster();
        let member = |node: &str| {
            let mut members = bench.truth.members().into_iter();
            members.find(|member| member.node == node).unwrap().id
        };
        let before = member("m1");
        bench.replace("m1").await.unwrap();
        assert_ne!(member("m1"), before, "m1 is the old one");
        assert_healthy(&bench, "a node was replaced").await;
        bench.replace("w1").await.unwrap();
        assert_eq!(bench.truth.cluster(), cluster);
        assert_eq!(bench.truth.members().len(), 3);
        let told = bench.replace("lb1").await.unwrap_err().to_string();
        assert!(told.contains("without a load balancer"), "{told}");
        // Who is off is started first: the quorum needs it.
        bench.cut("m2").await;
        bench.replace("m3").await.unwrap();
        assert_healthy(&bench, "a node was replaced while another was off").await;

        let only = Bench::new(1, 0);
        only.up().await.unwrap();
        let told = only.replace("m1").await.unwrap_err().to_string();
        assert!(told.contains("the only copy"), "{told}");
        assert_healthy(&only, "the only node was to be replaced").await;
    });
}

/// Who is to have another size is made anew, and nobody else.
#[test]
fn nodes_get_another_size() {
    on_threads(async {
        let bench = Bench::new(3, 1);
        bench.up().await.unwrap();
        let ids = || -> Vec<_> {
            let members = bench.truth.members().into_iter();
            members.map(|member| member.id).collect()
        };
        let before = ids();
        bench.steps();
        let larger = ["m2", "w1"];
        assert_eq!(bench.up_larger(&larger).await.unwrap(), Outcome::Changed);
        let after = ids();
        assert!(
            after[0] == before[0] && after[1] != before[1],
            "{before:?} {after:?}"
        );
        let steps = bench.steps();
        for step in [
            "drain",
            "forget member",
            "remove",
            "join control plane",
            "join worker",
        ] {
            assert!(steps.contains(step), "{steps:?}");
        }
        assert_eq!(bench.up_larger(&larger).await.unwrap(), Outcome::Unchanged);
    });
}

/// Pods that may not leave keep their node, which is used as before once the file has it again.
#[test]
fn a_drain_that_is_forbidden_is_taken_back() {
    on_threads(async {
        let bench = Bench::new(1, 2);
        bench.up().await.unwrap();
        bench.truth.forbid_eviction(true);
        let patience = std::time::Duration::from_secs(5);
        let told = tokio::time::timeout(patience, bench.up_without(&["w2"])).await;
        assert!(told.is_err(), "it waits for the budget: {told:?}");
        assert_eq!(bench.truth.pods("w2"), 1);
        assert_eq!(bench.up().await.unwrap(), Outcome::Changed);
        assert!(bench.steps().contains("stay"));
        assert_healthy(&bench, "a drain was taken back").await;
    });
}

/// A fault is on record while it is in force, and `up` brings the node back. What the provider cannot do is refused, and leaves
/// nothing on record.
#[test]
fn a_fault_is_on_record_until_it_is_over() {
    on_threads(async {
        let bench = Bench::new(1, 1);
        bench.up().await.unwrap();
        let w1 = "w1".parse().unwrap();
        let site = bench.site();
        for fault in fault::Fault::ALL {
            let fault::Fault::Outside(outside) = fault else {
                continue;
            };
            let told = fault::inject(&site, &w1, fault).await;
            let faults = site.lab.record().faults;
            if outside == provider::Fault::PowerCut {
                told.unwrap();
                assert_eq!(faults[0].revert, "regent node start w1");
                fault::revert(&site, &w1).await.unwrap();
            } else {
                assert!(matches!(told, Err(FaultError::Missing { .. })), "{told:?}");
                assert_eq!(faults, []);
            }
        }
        fault::inject(&site, &w1, fault::Fault::Outside(provider::Fault::PowerCut))
            .await
            .unwrap();
        drop(site);
        assert_eq!(bench.up().await.unwrap(), Outcome::Changed);
        assert_eq!(bench.site().lab.record().faults, []);
    });
}
