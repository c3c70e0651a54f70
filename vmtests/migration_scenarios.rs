//! A cluster by plain `kubeadm init` becomes highly available in place, while somebody uses it.

use std::time::Duration;

use regent::image::NodeImage;
use serde_json::Value;

use crate::cluster::Seen;
use crate::lab::Result;
use crate::operations::{ONE, THREE, file};
use crate::program::Program;
use crate::scenarios::expect;

/// From the old place to a second member, where regent dies and there is no way back any more, and on to the end.
const THROUGH: &str = "\
REGENT_FAILPOINT='join control plane m2/after' @regent up
@regent rollback 2>&1 | grep 'no way back' || exit 1
exec @regent up";

/// The aim.
const MOVED: Duration = Duration::from_secs(60);

/// Pods whose fate is looked at.
const APP: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: app, namespace: default}
spec:
  replicas: 4
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec: {containers: [{name: pause, image: \"registry.k8s.io/pause:3.10.1\"}]}
";

/// Asks an API server, twenty times a second on a connection each, from its first answer until a file is there.
const ASK: &str = r#"
sed -n 's/^ *certificate-authority-data: //p' "$KUBECONFIG" | base64 -d >"$2"
ask() { [ "$(curl -s -m 5 --cacert "$2" "https://$1:6443/readyz")" = ok ]; }
asked=0 failed=0
until ask "$1" "$2" || [ -e "$3" ]; do sleep 0.05; done
until [ -e "$3" ]; do
    ask "$1" "$2" || failed=$((failed + 1))
    asked=$((asked + 1))
    sleep 0.05
done
echo "$asked $failed"
"#;

/// What of kubeadm's names the API server's old place.
const NAMES: &str = "grep -rlF 198.18.0.21:6443 /etc/kubernetes /root/.kube /var/lib/kubelet/config.yaml 2>/dev/null | sort | xargs";

/// It is stopped half-way and goes back; it goes through while clients ask the old and the new place and no question fails;
/// the node that was the only one is lost like any other.
pub fn one_becomes_three(_: &NodeImage) -> Seen {
    let program = Program::with(&file(ONE))?;
    let told = moves(&program);
    program.down()?;
    told
}

fn moves(program: &Program) -> Seen {
    program.says(&["up"])?;
    program.deploys(APP)?;
    let before = pods(program)?;

    program.write(&file(THREE))?;
    program.dies_at(&["up"], "endpoint/after")?;
    program.says(&["rollback"])?;
    program.write(&file(ONE))?;
    program.is_as_planned()?;
    let status = program.says(&["status"])?;
    expect(
        !status.contains("lb1"),
        format!("nothing is left of it: {status}"),
    )?;

    program.write(&file(THREE))?;
    let stop = program.directory()?.join("stop");
    let (new, verdict) = std::thread::scope(|scope| {
        let ask = scope.spawn(|| ask(program, "198.18.0.11").map_err(|error| error.to_string()));
        let verdict = program.passes_during(&program.file()?, THROUGH);
        std::fs::write(&stop, "")?;
        let new = ask.join().map_err(|_| "the asker panicked")??;
        Ok::<_, Box<dyn std::error::Error>>((new, verdict?))
    })?;
    let old = none_failed(&verdict)?;
    let moved = Duration::from_micros(span(&verdict)?);
    expect(moved < MOVED, format!("within {MOVED:?}, not {moved:.1?}"))?;
    program.is_healthy()?;
    let now = pods(program)?;
    expect(
        now == before,
        format!("the same pods, not {now}, before {before}"),
    )?;
    names(program)?;

    let verdict = program.says(&["verify", "--target", "m1"])?;
    let first = verdict.lines().next().unwrap_or_default();
    Ok(format!(
        "{moved:.1?}; no request failed of {old} at the old place and {new} at the new; then {first}"
    ))
}

/// How long the move took, in microseconds.
fn span(verdict: &Value) -> Result<u64> {
    let at = |phase: &str| verdict["phases"][phase].as_u64().ok_or("no such phase");
    Ok(at("applied_us")? - at("fault_us")?)
}

/// No request of any kind of client may have failed; how many there were.
fn none_failed(verdict: &Value) -> Result<u64> {
    let probes = verdict["probes"].as_object().ok_or("no probes")?;
    let sum = |what: &str| {
        probes
            .values()
            .filter_map(|probe| probe[what].as_u64())
            .sum::<u64>()
    };
    expect(
        sum("failed") == 0,
        format!("no request fails: {}", verdict["probes"]),
    )?;
    Ok(sum("samples"))
}

/// The pods, their containers, and how often those have started.
fn pods(program: &Program) -> Result<String> {
    let fields = "--output=jsonpath={range .items[*]}{.metadata.uid} {.status.containerStatuses[*].containerID} \
                  {.status.containerStatuses[*].restartCount};{end}";
    program.says(&["kubectl", "get", "pods", "--selector=app=app", fields])
}

/// Asks at an address until the file `stop` is there; how often. Every question must be answered.
fn ask(program: &Program, at: &str) -> Result<u32> {
    let directory = program.directory()?;
    let (ca, stop) = (directory.join(format!("ca-{at}")), directory.join("stop"));
    let words = [
        "exec",
        "--",
        "sh",
        "-c",
        ASK,
        "ask",
        at,
        ca.as_str(),
        stop.as_str(),
    ];
    let counts = program.says(&words)?;
    let (asked, failed) = counts.trim().split_once(' ').ok_or("no counts")?;
    expect(
        failed == "0",
        format!("no question fails at {at}, not {failed} of {asked}"),
    )?;
    Ok(asked.parse()?)
}

/// The old place is named where a control-plane node means itself, and nowhere else.
fn names(program: &Program) -> Result {
    let of = |node: &str| program.says(&["ssh", node, NAMES]);
    let own = [
        "/etc/kubernetes/controller-manager.conf",
        "/etc/kubernetes/kubelet.conf",
        "/etc/kubernetes/manifests/kube-apiserver.yaml",
        "/etc/kubernetes/scheduler.conf",
    ];
    for (node, wanted) in [
        ("m1", own.join(" ")),
        ("m2", String::new()),
        ("w1", String::new()),
    ] {
        let named = of(node)?;
        expect(
            named.trim() == wanted,
            format!("{node} names it in {wanted:?}, not {named}"),
        )?;
    }
    for object in ["configmap/kubeadm-config", "configmap/kube-proxy"] {
        let text = program.says(&[
            "kubectl",
            "get",
            object,
            "--namespace=kube-system",
            "--output=yaml",
        ])?;
        expect(!text.contains("198.18.0.21"), text)?;
    }
    Ok(())
}
