//! What workloads expect of any cluster, on the shared one. Pods are asked from within the network of a node's CoreDNS.

use std::error::Error;
use std::time::{Duration, Instant};

use regent::name::NodeName;
use regent::node::Node;
use regent::plan::NodePlan;

use crate::cluster::{Cluster, RECOVERED, Seen};
use crate::scenarios::expect;

/// Runs what follows in the network of a pod of the node.
const IN_A_POD: &str = "nsenter --net --target \"$(pgrep -x coredns | head -n 1)\"";

/// The nodes that run pods.
fn pod_hosts(cluster: &Cluster) -> impl Iterator<Item = &NodePlan> {
    let nodes = cluster.site.plan.nodes.iter();
    nodes.filter(|node| node.pod_subnet.is_some())
}

fn session<'a>(cluster: &'a Cluster, name: &NodeName) -> Result<&'a Node, Box<dyn Error>> {
    Ok(cluster.site.node(name).ok_or("no such node")?)
}

/// Every node's object says the range that its pods have: CNIs read it, and upstream's e2e_kubeadm looks for it.
pub async fn case_e2e(cluster: &Cluster) -> Seen {
    let path = r#"jsonpath={range .items[*]}{.metadata.name}={.spec.podCIDR}{"\n"}{end}"#;
    let said = cluster.regent(&["kubectl", "get", "nodes", "--output", path], 0)?;
    let mut planned: Vec<_> = pod_hosts(cluster)
        .filter_map(|node| Some(format!("{}={}", node.name, node.pod_subnet?)))
        .collect();
    planned.sort();
    let said: Vec<_> = said.lines().collect();
    expect(said == planned, format!("{planned:?}, not {said:?}"))?;
    Ok(said.join(", "))
}

/// A pod reaches the control plane endpoint, which stands in every kubeconfig.
pub async fn case_pod_to_lb(cluster: &Cluster) -> Seen {
    let endpoint = cluster.site.plan.endpoint();
    for node in pod_hosts(cluster) {
        let ask =
            format!("{IN_A_POD} curl --silent --insecure --max-time 5 https://{endpoint}/readyz");
        let answer = session(cluster, &node.name)?.script(ask).run().await?;
        expect(
            answer == "ok",
            format!("`ok` in a pod on {}, not {answer:?}", node.name),
        )?;
    }
    Ok(format!("from every node's pods to {endpoint}"))
}

/// CoreDNS runs on every node, and a pod's questions go to the one beside it.
pub async fn case_dns(cluster: &Cluster) -> Seen {
    let path = r#"jsonpath={range .items[*]}{.spec.nodeName}{"\n"}{end}"#;
    let labels = [
        "--namespace",
        "kube-system",
        "--selector",
        "k8s-app=kube-dns",
    ];
    let get = ["kubectl", "get", "pods", "--output", path];
    let said = cluster.regent(&[&get[..], &labels[..]].concat(), 0)?;
    for node in pod_hosts(cluster) {
        let here = said
            .lines()
            .filter(|name| *name == node.name.as_str())
            .count();
        expect(
            here == 1,
            format!("one CoreDNS on {}, not {here}", node.name),
        )?;
    }
    Ok("one on every node".to_owned())
}

/// kube-proxy is killed on every node that runs pods, and comes back: its Services go on. It reads what its predecessor left
/// in the kernel, and removes what it does not understand: without the names of protocols in its image that was everything.
pub async fn services_survive_a_restart_of_kube_proxy(cluster: &Cluster) -> Seen {
    const RESTART: &str = "
        pkill -KILL -x kube-proxy
        turns=180
        until curl --silent --max-time 2 http://127.0.0.1:10249/metrics |
            grep -q '^kubeproxy_sync_proxy_rules_last_timestamp_seconds.*IPv4.* [1-9]'; do
            turns=$((turns - 1))
            [ $turns -gt 0 ] || { echo 'kube-proxy has not written its rules for 90 s' >&2; exit 1; }
            sleep 0.5
        done
        for turn in 1 2 3 4 5; do
            ASK
        done";
    let path = "jsonpath={.spec.clusterIP}";
    let service = cluster.regent(
        &["kubectl", "get", "service", "kubernetes", "--output", path],
        0,
    )?;
    let ask = format!(
        "{IN_A_POD} curl --silent --show-error --insecure --max-time 5 https://{service}/readyz"
    );
    let nodes = pod_hosts(cluster).map(async |node| {
        let restart = RESTART.replace("ASK", &ask);
        let answers = session(cluster, &node.name)?
            .script(restart)
            .deadline(RECOVERED)
            .run();
        Ok::<_, Box<dyn Error>>((&node.name, answers.await?))
    });
    for answer in futures::future::join_all(nodes).await {
        let (node, answers) = answer?;
        expect(
            answers == "ok".repeat(5),
            format!("five times `ok` in a pod on {node}, not {answers:?}"),
        )?;
    }
    Ok(format!("https://{service} answers in a pod of every node"))
}

/// A name outside the lab is denied at once: nobody waits for a server that is not there.
pub async fn case_dns_outside(cluster: &Cluster) -> Seen {
    // A question for example.com, type A, asked with what bash has; printed: the answer's first bytes and its time.
    let ask = r#"
        exec 3<>/dev/udp/SERVER/53
        begin=$(date +%s%N)
        printf '\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x03com\x00\x00\x01\x00\x01' >&3
        answer=$(timeout 5 head --bytes 4 <&3 | od -An -tx1 | tr -d ' \n')
        echo "$answer $(( ($(date +%s%N) - begin) / 1000000 ))"
    "#;
    let server = cluster.regent(
        &[
            "kubectl",
            "get",
            "service",
            "kube-dns",
            "--namespace",
            "kube-system",
            "--output",
            "jsonpath={.spec.clusterIP}",
        ],
        0,
    )?;
    let worker = "w1".parse()?;
    let ask = format!(
        "bash -c '{}'",
        ask.replace("SERVER", &server).replace('\'', r"'\''")
    );
    let mut best = u64::MAX;
    for _ in 0..5 {
        let said = session(cluster, &worker)?.script(ask.clone()).run().await?;
        let (answer, ms) = said.trim().split_once(' ').ok_or("no answer")?;
        // The last digit of the flags is the answer's code; 3: there is no such name.
        expect(
            answer.ends_with('3'),
            format!("no such name, not {answer:?}"),
        )?;
        best = best.min(ms.parse()?);
    }
    expect(best < 100, format!("an answer within 100 ms, not {best}"))?;
    Ok(format!("denied within {best} ms"))
}

/// Mounts that are passed on between a node and its pods, as storage drivers and node-exporter want them.
pub async fn case_propagation(cluster: &Cluster) -> Seen {
    let pod = r#"{
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": "propagation", "namespace": "default" },
        "spec": {
            "nodeName": "w1", "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "pause", "image": "PAUSE", "imagePullPolicy": "Never", "securityContext": { "privileged": true },
                "volumeMounts": [
                    { "name": "root", "mountPath": "/host", "mountPropagation": "HostToContainer" },
                    { "name": "kubelet", "mountPath": "/kubelet", "mountPropagation": "Bidirectional" }
                ]
            }],
            "volumes": [
                { "name": "root", "hostPath": { "path": "/" } },
                { "name": "kubelet", "hostPath": { "path": "/var/lib/kubelet" } }
            ]
        }
    }"#;
    let first = session(cluster, &"m1".parse()?)?;
    let images = first
        .script("ctr --namespace k8s.io images list --quiet")
        .run()
        .await?;
    let pause = images
        .lines()
        .find(|name| name.contains("/pause:"))
        .ok_or("no pause image")?;
    first
        .command([
            "kubectl",
            "--kubeconfig=/etc/kubernetes/admin.conf",
            "apply",
            "--filename",
            "-",
        ])
        .stdin(pod.replace("PAUSE", pause))
        .run()
        .await?;
    let named = ["pod", "propagation", "--namespace", "default"];
    let wait = ["kubectl", "wait", "--for=condition=Ready", "--timeout=30s"];
    let running = cluster.regent(&[&wait[..], &named[..]].concat(), 0);
    cluster.regent(&[&["kubectl", "delete"], &named[..]].concat(), 0)?;
    running?;
    Ok("both directions, of / and /var/lib/kubelet".to_owned())
}

/// `systemctl reboot` on a node says nothing, reboots it, and the node comes back by itself.
pub async fn case_reboot(cluster: &Cluster) -> Seen {
    let name: NodeName = "w1".parse()?;
    let before = cluster.site.provider.boot_identity(&name).await?;
    let asked = session(cluster, &name)?
        .command(["systemctl", "reboot"])
        .output()
        .await;
    if let Ok(output) = asked {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        expect(said.is_empty(), format!("no complaint, not {said:?}"))?;
    }
    let begun = Instant::now();
    loop {
        let now = cluster.site.provider.boot_identity(&name).await?;
        if now.is_some() && now != before {
            break;
        }
        expect(begun.elapsed() < RECOVERED, "w1 boots again by itself")?;
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    cluster.healthy(RECOVERED).await?;
    Ok(format!(
        "healthy {:.1} s later",
        begun.elapsed().as_secs_f64()
    ))
}
