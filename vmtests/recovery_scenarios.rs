//! What was done to nodes by hand, and one `up` that mends it, on the shared cluster. Nothing that was stored is lost.

use std::time::Instant;

use regent::name::NodeName;
use regent::node::Node;
use regent::recipe::Outcome;

use crate::cluster::{Cluster, RECOVERED, Seen};
use crate::scenarios::expect;

/// Everything that could have been mistaken for a mark goes, and the power: a node is what its etcd and its kubeadm say.
pub async fn case_mark(cluster: &Cluster) -> Seen {
    let m1: NodeName = "m1".parse()?;
    cluster.note("mark").await?;
    let who = "sha256sum /etc/kubernetes/pki/ca.crt; stat --format %i /var/lib/etcd/member";
    let before = run(cluster, &m1, who).await?;
    run(cluster, &m1, "rm -rf /var/lib/regent/*; sync").await?;
    cluster.cut(&m1).await?;
    let took = mended(cluster, "mark").await?;
    let after = run(cluster, &m1, who).await?;
    expect(before == after, format!("m1 is {before}, not {after}"))?;
    Ok(format!("m1 kept its CA and its data; {took}"))
}

/// Reset and deleted, only reset, only deleted, member removed: each joins again, by one `up`.
pub async fn case_readd(cluster: &Cluster) -> Seen {
    const RESET: &str = "kubeadm reset --force";
    const MEMBER: &str = "
        cd /etc/kubernetes/pki/etcd
        ctl=\"etcdctl --cacert ca.crt --cert healthcheck-client.crt --key healthcheck-client.key\"
        id=$($ctl member list | grep ' m2,' | cut -d, -f1)
        $ctl member remove \"$id\"";
    let mut seen = Vec::new();
    for (what, node, on, script) in [
        ("a worker reset and deleted", "w1", Some("w1"), RESET),
        ("a Node deleted", "w2", None, ""),
        (
            "a control-plane node reset and deleted",
            "m3",
            Some("m3"),
            RESET,
        ),
        ("a member removed", "m2", Some("m1"), MEMBER),
    ] {
        cluster.note(node).await?;
        if let Some(on) = on {
            run(cluster, &on.parse()?, script).await?;
        }
        if script != MEMBER {
            cluster.regent(&["kubectl", "delete", "node", node], 0)?;
        }
        let took = mended(cluster, node)
            .await
            .map_err(|error| format!("{what}: {error}"))?;
        seen.push(format!("{what}: {took}"));
    }
    Ok(seen.join("; "))
}

/// What keeps nodes in a cluster is damaged on each of them, and what kubeadm put into the API goes: one `up` mends it.
pub async fn damage_on_every_node_is_mended(cluster: &Cluster) -> Seen {
    const DAMAGE: [(&str, &str); 6] = [
        ("lb1", "echo nonsense >/etc/haproxy/haproxy.cfg"),
        (
            "m1",
            "cd /etc/kubernetes; : >admin.conf; rm pki/etcd/peer.key pki/sa.pub",
        ),
        (
            "m2",
            "cd /etc/kubernetes; rm pki/apiserver.crt manifests/kube-scheduler.yaml; : >/etc/hosts",
        ),
        (
            "m3",
            "systemctl disable --quiet --now kubelet; systemctl stop containerd",
        ),
        ("w1", ": >/etc/kubernetes/kubelet.conf; rm /etc/cni/net.d/*"),
        (
            "w2",
            "rm /var/lib/kubelet/config.yaml; systemctl restart kubelet",
        ),
    ];
    cluster.note("damage").await?;
    let proxy = [
        "delete",
        "daemonset",
        "kube-proxy",
        "--namespace",
        "kube-system",
    ];
    cluster.regent(&[&["kubectl"], &proxy[..]].concat(), 0)?;
    for (node, script) in DAMAGE {
        run(cluster, &node.parse()?, script).await?;
    }
    let took = mended(cluster, "damage").await?;
    cluster.is_as_planned().await?;
    Ok(took)
}

/// Certificates have ended on a control-plane node and on a worker.
pub async fn ended_certificates_are_renewed(cluster: &Cluster) -> Seen {
    // The same certificate, signed anew for a day that is over.
    const END: &str = "
        end() {
            openssl x509 -in \"$1\" -CA \"$2.crt\" -CAkey \"$2.key\" \
                -not_before 20250101000000Z -not_after 20250102000000Z -out /run/ended.crt 2>/dev/null
            cat /run/ended.crt >\"$1\"
        }
        cd /etc/kubernetes/pki";
    const PEM: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";
    let (m2, w1): (NodeName, NodeName) = ("m2".parse()?, "w1".parse()?);
    cluster.note("ended").await?;
    let own = "end apiserver.crt ca\nend front-proxy-client.crt front-proxy-ca";
    run(cluster, &m2, &format!("{END}\n{own}")).await?;
    // A worker has no CA's key.
    let certificate = run(cluster, &w1, &format!("openssl x509 -in {PEM}")).await?;
    let made =
        format!("{END}\necho '{certificate}' >/run/w1.crt\nend /run/w1.crt ca\ncat /run/w1.crt");
    let ended = run(cluster, &m2, &made).await?;
    let put = format!(
        "key=$(openssl pkey -in {PEM})\necho '{ended}' >{PEM}\necho \"$key\" >>{PEM}\nsystemctl restart kubelet"
    );
    run(cluster, &w1, &put).await?;
    // Those of the others end soon.
    const SOON: &str = "
        cd /etc/kubernetes/pki
        openssl x509 -in apiserver.crt -CA ca.crt -CAkey ca.key -days 10 -out /run/soon.crt 2>/dev/null
        cat /run/soon.crt >apiserver.crt";
    let others: [NodeName; 2] = ["m1".parse()?, "m3".parse()?];
    for node in &others {
        run(cluster, node, SOON).await?;
    }
    let took = mended(cluster, "ended").await?;
    let days = 100 * 24 * 3600;
    let good =
        format!("openssl x509 -noout -checkend {days} -in /etc/kubernetes/pki/apiserver.crt");
    for node in &others {
        run(cluster, node, &good).await?;
    }
    Ok(took)
}

/// A control-plane node that is off loses its disk: its member is removed, and it joins as a new one.
pub async fn case_lost_disk(cluster: &Cluster) -> Seen {
    let m2: NodeName = "m2".parse()?;
    cluster.note("disk").await?;
    cluster.cut(&m2).await?;
    std::fs::remove_dir_all(cluster.site.lab.paths().node(&m2))?;
    mended(cluster, "disk").await
}

/// Every node loses power. When `up` says that the cluster is up, it is: no check believes what was reported before.
pub async fn case_stale(cluster: &Cluster) -> Seen {
    cluster.note("stale").await?;
    for node in &cluster.site.plan.nodes {
        cluster.cut(&node.name).await?;
    }
    mended(cluster, "stale").await
}

/// One `up`, after which everything holds at once and for a second look, and what was stored is there.
async fn mended(cluster: &Cluster, word: &str) -> Seen {
    let begun = Instant::now();
    let changed = cluster.up().await? == Outcome::Changed;
    expect(changed, "`up` has something to mend")?;
    let took = begun.elapsed();
    let status = cluster.regent(&["status", "--json"], 0)?;
    let status: serde_json::Value = serde_json::from_str(&status)?;
    let missing: Vec<_> = status["checks"]
        .as_array()
        .ok_or("no checks")?
        .iter()
        .filter(|check| !check["missing"].is_null())
        .collect();
    expect(
        missing.is_empty(),
        format!("nothing is missing: {missing:?}"),
    )?;
    cluster.until_noted(word, RECOVERED).await?;
    Ok(format!("up in {took:.1?}"))
}

async fn run(cluster: &Cluster, name: &NodeName, script: &str) -> Seen {
    let node: &Node = cluster.site.node(name).ok_or("no such node")?;
    Ok(node.script(script).run().await?)
}
