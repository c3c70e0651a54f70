//! The scenarios.

use std::time::Duration;

use futures::FutureExt;
use regent::fault::{self, Impairment};
use regent::verify::{self, Fault, Target};

use crate::backup_scenarios;
use crate::cluster::{Cluster, Seen};
use crate::command_scenarios;
use crate::etcd_scenarios;
use crate::failpoints;
use crate::lab_scenarios;
use crate::life_scenarios;
use crate::machine_scenarios;
use crate::migration_scenarios;
use crate::own_cluster;
use crate::platform_scenarios;
use crate::quorum_scenarios;
use crate::recovery_scenarios;
use crate::remote_scenarios;
use crate::runner::{Run, Scenario};
use crate::space_scenarios;

/// Every scenario, in the order in which they run. The first is the main one.
pub const ALL: &[Scenario] = &[
    Scenario {
        name: "failover_of_the_etcd_leader",
        run: Run::Shared(|cluster| failover_of_the_etcd_leader(cluster).boxed_local()),
    },
    Scenario {
        name: "up_again_changes_nothing",
        run: Run::Shared(|cluster| up_again_changes_nothing(cluster).boxed_local()),
    },
    Scenario {
        name: "the_commands_see_the_cluster",
        run: Run::Shared(|cluster| the_commands_see_the_cluster(cluster).boxed_local()),
    },
    Scenario {
        name: "failover_of_an_etcd_follower",
        run: Run::Shared(|cluster| failover_of_an_etcd_follower(cluster).boxed_local()),
    },
    Scenario {
        name: "soft_kill_of_the_etcd_leader",
        run: Run::Shared(|cluster| soft_kill_of_the_etcd_leader(cluster).boxed_local()),
    },
    Scenario {
        name: "a_worker_is_lost",
        run: Run::Shared(|cluster| a_worker_is_lost(cluster).boxed_local()),
    },
    Scenario {
        name: "a_worker_loses_packets",
        run: Run::Shared(|cluster| a_worker_loses_packets(cluster).boxed_local()),
    },
    Scenario {
        name: "a_cluster_that_breaks_its_word_fails",
        run: Run::Shared(|cluster| a_cluster_that_breaks_its_word_fails(cluster).boxed_local()),
    },
    Scenario {
        name: "the_load_balancer_restarts",
        run: Run::Shared(|cluster| the_load_balancer_restarts(cluster).boxed_local()),
    },
    Scenario {
        name: "a_killed_node_comes_back",
        run: Run::Shared(|cluster| a_killed_node_comes_back(cluster).boxed_local()),
    },
    Scenario {
        name: "case_e2e",
        run: Run::Shared(|cluster| platform_scenarios::case_e2e(cluster).boxed_local()),
    },
    Scenario {
        name: "case_pod_to_lb",
        run: Run::Shared(|cluster| platform_scenarios::case_pod_to_lb(cluster).boxed_local()),
    },
    Scenario {
        name: "case_dns",
        run: Run::Shared(|cluster| platform_scenarios::case_dns(cluster).boxed_local()),
    },
    Scenario {
        name: "services_survive_a_restart_of_kube_proxy",
        run: Run::Shared(|cluster| {
            platform_scenarios::services_survive_a_restart_of_kube_proxy(cluster).boxed_local()
        }),
    },
    Scenario {
        name: "case_dns_outside",
        run: Run::Shared(|cluster| platform_scenarios::case_dns_outside(cluster).boxed_local()),
    },
    Scenario {
        name: "case_propagation",
        run: Run::Shared(|cluster| platform_scenarios::case_propagation(cluster).boxed_local()),
    },
    Scenario {
        name: "case_reboot",
        run: Run::Shared(|cluster| platform_scenarios::case_reboot(cluster).boxed_local()),
    },
    Scenario {
        name: "case_mark",
        run: Run::Shared(|cluster| recovery_scenarios::case_mark(cluster).boxed_local()),
    },
    Scenario {
        name: "case_readd",
        run: Run::Shared(|cluster| recovery_scenarios::case_readd(cluster).boxed_local()),
    },
    Scenario {
        name: "damage_on_every_node_is_mended",
        run: Run::Shared(|cluster| {
            recovery_scenarios::damage_on_every_node_is_mended(cluster).boxed_local()
        }),
    },
    Scenario {
        name: "ended_certificates_are_renewed",
        run: Run::Shared(|cluster| {
            recovery_scenarios::ended_certificates_are_renewed(cluster).boxed_local()
        }),
    },
    Scenario {
        name: "case_lost_disk",
        run: Run::Shared(|cluster| recovery_scenarios::case_lost_disk(cluster).boxed_local()),
    },
    Scenario {
        name: "case_stale",
        run: Run::Shared(|cluster| recovery_scenarios::case_stale(cluster).boxed_local()),
    },
    Scenario {
        name: "a_lab_comes_and_goes",
        run: Run::Alone(lab_scenarios::a_lab_comes_and_goes),
    },
    Scenario {
        name: "faults_bite_and_heal",
        run: Run::Alone(lab_scenarios::faults_bite_and_heal),
    },
    Scenario {
        name: "labs_do_not_see_each_other",
        run: Run::Alone(lab_scenarios::labs_do_not_see_each_other),
    },
    Scenario {
        name: "dead_daemons_are_started_again",
        run: Run::Alone(lab_scenarios::dead_daemons_are_started_again),
    },
    Scenario {
        name: "case_foreign",
        run: Run::Alone(lab_scenarios::case_foreign),
    },
    Scenario {
        name: "killed_at_any_moment",
        run: Run::Alone(lab_scenarios::killed_at_any_moment),
    },
    Scenario {
        name: "killed_at_every_step",
        run: Run::Commands(failpoints::killed_at_every_step),
    },
    Scenario {
        name: "case_secrets",
        run: Run::Commands(command_scenarios::case_secrets),
    },
    Scenario {
        name: "case_added_node",
        run: Run::Commands(command_scenarios::case_added_node),
    },
    Scenario {
        name: "case_other_file",
        run: Run::Commands(command_scenarios::case_other_file),
    },
    Scenario {
        name: "case_sighup",
        run: Run::Commands(command_scenarios::case_sighup),
    },
    Scenario {
        name: "a_killed_verification_leaves_a_known_fault",
        run: Run::Commands(command_scenarios::a_killed_verification_leaves_a_known_fault),
    },
    Scenario {
        name: "case_exit_hang",
        run: Run::Commands(command_scenarios::case_exit_hang),
    },
    Scenario {
        name: "case_proxy",
        run: Run::Commands(command_scenarios::case_proxy),
    },
    Scenario {
        name: "case_umask",
        run: Run::Commands(command_scenarios::case_umask),
    },
    Scenario {
        name: "nodes_come_and_go",
        run: Run::Commands(life_scenarios::nodes_come_and_go),
    },
    Scenario {
        name: "the_whole_control_plane_loses_power",
        run: Run::Commands(quorum_scenarios::the_whole_control_plane_loses_power),
    },
    Scenario {
        name: "etcd_is_out_of_space",
        run: Run::Commands(space_scenarios::etcd_is_out_of_space),
    },
    Scenario {
        name: "one_becomes_three",
        run: Run::Alone(migration_scenarios::one_becomes_three),
    },
    Scenario {
        name: "a_lost_quorum_is_restored",
        run: Run::Alone(quorum_scenarios::a_lost_quorum_is_restored),
    },
    Scenario {
        name: "a_backup_brings_everything_back",
        run: Run::Alone(backup_scenarios::a_backup_brings_everything_back),
    },
    Scenario {
        name: "the_other_choices_make_a_cluster",
        run: Run::Alone(own_cluster::the_other_choices_make_a_cluster),
    },
    Scenario {
        name: "machines_boot_and_lose_power",
        run: Run::Machines(machine_scenarios::machines_boot_and_lose_power),
    },
    Scenario {
        name: "a_lab_on_another_host",
        run: Run::Machines(remote_scenarios::a_lab_on_another_host),
    },
    Scenario {
        name: "etcd_keeps_its_word",
        run: Run::Machines(etcd_scenarios::etcd_keeps_its_word),
    },
    Scenario {
        name: "a_control_plane_loses_power",
        run: Run::Machines(machine_scenarios::a_control_plane_loses_power),
    },
];

/// The power of the node with the etcd leader is cut while clients read, write and watch. Others are elected, the
/// load balancer drops the dead API server, and nothing that was acknowledged is lost.
async fn failover_of_the_etcd_leader(cluster: &Cluster) -> Seen {
    cluster
        .survives(verify::Scenario::power_cut(Target::EtcdLeader))
        .await
}

/// `up` on a healthy cluster looks, and does nothing.
async fn up_again_changes_nothing(cluster: &Cluster) -> Seen {
    cluster.is_as_planned().await?;
    Ok("unchanged".to_owned())
}

/// Everything that a user does with a running cluster works from the command line.
async fn the_commands_see_the_cluster(cluster: &Cluster) -> Seen {
    let nodes = cluster.regent(&["kubectl", "get", "nodes", "--no-headers"], 0)?;
    let ready = nodes
        .lines()
        .filter(|line| line.contains(" Ready "))
        .count();
    expect(ready == 5, format!("5 nodes are Ready, not {ready}"))?;

    let status = cluster.regent(&["status", "--json"], 0)?;
    let status: serde_json::Value = serde_json::from_str(&status)?;
    let leaders = status["nodes"].as_array().map_or(0, |nodes| {
        nodes.iter().filter(|node| node["etcd"] == "leader").count()
    });
    expect(
        leaders == 1,
        format!("there is one etcd leader, not {leaders}"),
    )?;

    let name = cluster.regent(&["ssh", "master1", "hostname"], 0)?;
    expect(
        name == "m1\n",
        format!("master1 calls itself m1, not {name:?}"),
    )?;
    // The exit code is the command's own.
    cluster.regent(&["ssh", "w1", "exit 7"], 7)?;
    cluster.regent(&["exec", "--", "sh", "-c", "exit 9"], 9)?;

    let kubeconfig = cluster.regent(&["exec", "--", "sh", "-c", "cat \"$KUBECONFIG\""], 0)?;
    let printed = cluster.regent(&["kubeconfig"], 0)?;
    expect(
        kubeconfig == printed,
        "exec and kubeconfig mean the same file",
    )?;

    let journal = cluster.regent(&["logs", "m1", "--unit", "kubelet", "--lines", "5"], 0)?;
    expect(journal.contains("kubelet"), "kubelet's journal is there")?;
    cluster.regent(&["logs", "m7"], 2)?;
    // These scenarios hold the lab's lock; whoever else wants to change it is told so.
    cluster.regent(&["up"], 4)?;
    Ok("kubectl, status, ssh, exec, kubeconfig, logs".to_owned())
}

/// A control-plane node without the leader loses power: no election, but its API server is gone.
async fn failover_of_an_etcd_follower(cluster: &Cluster) -> Seen {
    cluster
        .survives(verify::Scenario::power_cut(Target::EtcdFollower))
        .await
}

/// The same node as in the main scenario, but its peers see their connections closed.
async fn soft_kill_of_the_etcd_leader(cluster: &Cluster) -> Seen {
    cluster
        .survives(verify::Scenario::kill(Target::EtcdLeader))
        .await
}

/// A worker loses power: its pods must become Ready on the other one.
async fn a_worker_is_lost(cluster: &Cluster) -> Seen {
    cluster
        .survives(verify::Scenario::power_cut(Target::AnyWorker))
        .await
}

/// A worker loses a fifth of what it receives, which its own counters prove; nobody else notices much.
async fn a_worker_loses_packets(cluster: &Cluster) -> Seen {
    let loss = Fault::Node {
        fault: fault::Fault::Within(Impairment::PacketLoss(20)),
        target: Target::Node("w1".parse()?),
    };
    cluster.survives(verify::Scenario::new(loss)).await
}

/// While a worker loses some packets, which alone passes, somebody deletes an acknowledged write and takes CoreDNS away: the
/// verdict is a failure, and says so of both.
async fn a_cluster_that_breaks_its_word_fails(cluster: &Cluster) -> Seen {
    const NAMESPACES: &str =
        "kubectl --kubeconfig /etc/kubernetes/admin.conf get namespaces --output name";
    // Namespaces of runs before may still be there.
    const SABOTAGE: &str = "
        export KUBECONFIG=/etc/kubernetes/admin.conf
        turns=240
        until load=$(kubectl get namespaces --output name | grep -Fvx 'BEFORE') &&
            load=${load#namespace/} && kubectl --namespace \"$load\" get configmap w-000300; do
            turns=$((turns - 1))
            [ $turns -gt 0 ] || { echo 'the load did not come so far' >&2; exit 1; }
            sleep 0.5
        done
        kubectl --namespace \"$load\" delete configmap w-000100
        kubectl --namespace kube-system scale deployment coredns --replicas=0
        sleep 12
        kubectl --namespace kube-system scale deployment coredns --replicas=5";
    let loss = Fault::Node {
        fault: fault::Fault::Within(Impairment::PacketLoss(5)),
        target: Target::Node("w1".parse()?),
    };
    let m1 = cluster.site.node(&"m1".parse()?).ok_or("no such node")?;
    let scenario = verify::Scenario::new(loss);
    let before = m1.script(NAMESPACES).run().await?;
    let sabotage = SABOTAGE.replace("BEFORE", before.trim());
    let sabotage = m1.script(sabotage).deadline(Duration::from_secs(180)).run();
    let (verdict, sabotaged) = futures::join!(cluster.verdict(&scenario), sabotage);
    sabotaged?;
    let verdict = verdict?;
    expect(
        verdict.verdict == verify::Ruling::Fail,
        format!("a failure, not {}", verify::headline(&verdict)),
    )?;
    for reason in ["acknowledged writes lost: 1 (w-000100)", "cluster DNS"] {
        expect(
            verdict.reasons.iter().any(|said| said.contains(reason)),
            format!("`{reason}` among {:?}", verdict.reasons),
        )?;
    }
    Ok(verdict.reasons.join("; "))
}

/// haproxy restarts: every connection ends, and clients come back.
async fn the_load_balancer_restarts(cluster: &Cluster) -> Seen {
    cluster
        .survives(verify::Scenario::restart_load_balancer())
        .await
}

/// A killed control-plane node is started from its disk: Ready within 30 s, its API server balanced again, its
/// member in the quorum.
async fn a_killed_node_comes_back(cluster: &Cluster) -> Seen {
    let m2 = "m2".parse()?;
    cluster.kill(&m2).await?;
    // The node lease is renewed every 10 s; with fast tuning 20 s of silence make it not Ready.
    cluster
        .until_ready(&m2, false, Duration::from_secs(60))
        .await?;
    cluster.start(&m2).await?;
    let took = cluster
        .until_ready(&m2, true, Duration::from_secs(30))
        .await?;
    cluster.healthy(Duration::from_secs(60)).await?;
    Ok(format!("Ready {:.1} s after its start", took.as_secs_f64()))
}

/// Fails with what should have been, unless it is.
pub fn expect(holds: bool, what: impl Into<String>) -> Result<(), Box<dyn std::error::Error>> {
    if holds {
        Ok(())
    } else {
        Err(format!("expected: {}", what.into()).into())
    }
}
