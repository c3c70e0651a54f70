//! The stories.

use std::time::Duration;

use futures::FutureExt;
use regent::recipe::Outcome;
use regent::verify::{Scenario, Target};

use crate::cluster::{Cluster, Told};
use crate::etcd_stories;
use crate::lab_stories;
use crate::machine_stories;
use crate::own_cluster;
use crate::remote_stories;
use crate::runner::{Story, Tell};

/// Every story, in the order in which they are told. The first is the main one.
pub const ALL: &[Story] = &[
    Story {
        name: "failover_of_the_etcd_leader",
        tell: Tell::Shared(|cluster| failover_of_the_etcd_leader(cluster).boxed_local()),
    },
    Story {
        name: "up_again_changes_nothing",
        tell: Tell::Shared(|cluster| up_again_changes_nothing(cluster).boxed_local()),
    },
    Story {
        name: "the_commands_see_the_cluster",
        tell: Tell::Shared(|cluster| the_commands_see_the_cluster(cluster).boxed_local()),
    },
    Story {
        name: "failover_of_an_etcd_follower",
        tell: Tell::Shared(|cluster| failover_of_an_etcd_follower(cluster).boxed_local()),
    },
    Story {
        name: "soft_kill_of_the_etcd_leader",
        tell: Tell::Shared(|cluster| soft_kill_of_the_etcd_leader(cluster).boxed_local()),
    },
    Story {
        name: "a_worker_is_lost",
        tell: Tell::Shared(|cluster| a_worker_is_lost(cluster).boxed_local()),
    },
    Story {
        name: "the_load_balancer_restarts",
        tell: Tell::Shared(|cluster| the_load_balancer_restarts(cluster).boxed_local()),
    },
    Story {
        name: "a_killed_node_comes_back",
        tell: Tell::Shared(|cluster| a_killed_node_comes_back(cluster).boxed_local()),
    },
    Story {
        name: "a_lab_comes_and_goes",
        tell: Tell::Alone(lab_stories::a_lab_comes_and_goes),
    },
    Story {
        name: "faults_bite_and_heal",
        tell: Tell::Alone(lab_stories::faults_bite_and_heal),
    },
    Story {
        name: "labs_do_not_see_each_other",
        tell: Tell::Alone(lab_stories::labs_do_not_see_each_other),
    },
    Story {
        name: "dead_daemons_are_started_again",
        tell: Tell::Alone(lab_stories::dead_daemons_are_started_again),
    },
    Story {
        name: "a_shared_libvirt_keeps_its_own",
        tell: Tell::Alone(lab_stories::a_shared_libvirt_keeps_its_own),
    },
    Story {
        name: "killed_at_any_moment",
        tell: Tell::Alone(lab_stories::killed_at_any_moment),
    },
    Story {
        name: "the_other_choices_make_a_cluster",
        tell: Tell::Alone(own_cluster::the_other_choices_make_a_cluster),
    },
    Story {
        name: "machines_boot_and_lose_power",
        tell: Tell::Machines(machine_stories::machines_boot_and_lose_power),
    },
    Story {
        name: "a_lab_on_another_host",
        tell: Tell::Machines(remote_stories::a_lab_on_another_host),
    },
    Story {
        name: "etcd_keeps_its_word",
        tell: Tell::Machines(etcd_stories::etcd_keeps_its_word),
    },
    Story {
        name: "a_control_plane_loses_power",
        tell: Tell::Machines(machine_stories::a_control_plane_loses_power),
    },
];

/// The power of the node with the etcd leader is cut while clients read, write and watch. Others are elected, the
/// load balancer drops the dead API server, and nothing that was acknowledged is lost.
async fn failover_of_the_etcd_leader(cluster: &Cluster) -> Told {
    cluster
        .survives(Scenario::power_cut(Target::EtcdLeader))
        .await
}

/// `up` on a healthy cluster looks, and does nothing.
async fn up_again_changes_nothing(cluster: &Cluster) -> Told {
    match cluster.up().await? {
        Outcome::Unchanged => Ok("unchanged".to_owned()),
        Outcome::Changed => Err("`up` on a healthy cluster changed something".into()),
    }
}

/// Everything that a user does with a running cluster works from the command line.
async fn the_commands_see_the_cluster(cluster: &Cluster) -> Told {
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
    // These stories hold the lab's lock; whoever else wants to change it is told so.
    cluster.regent(&["up"], 4)?;
    Ok("kubectl, status, ssh, exec, kubeconfig, logs".to_owned())
}

/// A control-plane node without the leader loses power: no election, but its API server is gone.
async fn failover_of_an_etcd_follower(cluster: &Cluster) -> Told {
    cluster
        .survives(Scenario::power_cut(Target::EtcdFollower))
        .await
}

/// The same node as in the main story, but its peers see their connections closed.
async fn soft_kill_of_the_etcd_leader(cluster: &Cluster) -> Told {
    cluster.survives(Scenario::kill(Target::EtcdLeader)).await
}

/// A worker loses power: its pods must become Ready on the other one.
async fn a_worker_is_lost(cluster: &Cluster) -> Told {
    cluster
        .survives(Scenario::power_cut(Target::AnyWorker))
        .await
}

/// haproxy restarts: every connection ends, and clients come back.
async fn the_load_balancer_restarts(cluster: &Cluster) -> Told {
    cluster.survives(Scenario::restart_load_balancer()).await
}

/// A killed control-plane node is started from its disk: Ready within 30 s, its API server balanced again, its
/// member in the quorum.
async fn a_killed_node_comes_back(cluster: &Cluster) -> Told {
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
