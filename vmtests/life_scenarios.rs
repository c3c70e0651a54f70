//! Scenarios of a cluster's life: nodes come and go by editing the file, while somebody uses it.

use camino::Utf8Path;

use crate::cluster::Seen;
use crate::lab::Result;
use crate::program::{Program, ROLLOUT, says};
use crate::scenarios::expect;

/// What `regent` exits with when it refuses what a file says.
const WRONG: i32 = 2;

/// Two pods with an image that every node has, one of which must always be there; and one that nobody would make again.
const APP: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: app, namespace: default}
spec:
  replicas: 2
  selector: {matchLabels: {app: app}}
  template:
    metadata: {labels: {app: app}}
    spec:
      topologySpreadConstraints:
      - {maxSkew: 1, topologyKey: kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {matchLabels: {app: app}}}
      containers: [{name: pause, image: \"registry.k8s.io/pause:3.10.1\"}]
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: app, namespace: default}
spec: {minAvailable: 1, selector: {matchLabels: {app: app}}}
---
apiVersion: v1
kind: Pod
metadata: {name: alone, namespace: default}
spec:
  nodeName: w2
  containers: [{name: pause, image: \"registry.k8s.io/pause:3.10.1\"}]
";

/// A worker comes; it and a control-plane node go, pods first; the control-plane node comes back, and the first one is
/// replaced. The API answers throughout.
pub fn nodes_come_and_go(program: &Program) -> Seen {
    program.is_as_planned()?;
    let more = program.other_file("workers: { count: 1 }", "workers: { count: 2 }")?;
    says(program.command_with(&more, &["up"])?)?;
    program.deploys(APP)?;
    let names = "--output=jsonpath={.items[*].spec.nodeName}";
    let on = program.says(&["kubectl", "get", "pods", "--selector=app=app", names])?;
    expect(
        on.contains("w1") && on.contains("w2"),
        format!("a pod on each worker: {on}"),
    )?;

    let refused = program.refuses(&["up"], WRONG)?;
    expect(refused.contains("default/alone"), refused)?;
    program.says(&["kubectl", "delete", "pod", "alone", "--now"])?;
    // w2 was on its way out, and stays.
    says(program.command_with(&more, &["up"])?)?;
    let fewer = program.other_file("controlPlane: { count: 2 }", "controlPlane: { count: 1 }")?;

    let gone = during(program, &fewer, "@regent up")?;
    let nodes = "--output=jsonpath={.items[*].metadata.name}";
    let left = program.says(&["kubectl", "get", "nodes", nodes])?;
    expect(left == "m1 w1", format!("m1 and w1 are left: {left}"))?;
    program.says(&ROLLOUT)?;
    let status = says(program.command_with(&fewer, &["status"])?)?;
    expect(!status.contains("w2") && !status.contains("m2"), status)?;

    let file = program.file()?;
    let back = during(program, &file, "@regent up")?;
    program.is_healthy()?;
    // The first of all, whose CA the others were made with.
    let new = during(program, &file, "@regent replace m1")?;
    program.is_healthy()?;
    program.says(&["kubectl", "delete", "deployment,pdb", "app"])?;
    let larger = program.other_file(
        "workers: { count: 1 }",
        "workers: { count: 1, memory: 3GiB }",
    )?;
    let sized = during(program, &larger, "@regent up")?;
    let memory = program.says(&["ssh", "w1", "free -b | awk '/Mem/ {print $2}'"])?;
    expect(
        memory.trim() == (3_u64 << 30).to_string(),
        format!("w1 has 3 GiB, not {memory}"),
    )?;
    program.says(&["up"])?;
    Ok(format!(
        "m2 and w2 gone: {gone}; m2 back: {back}; m1 replaced: {new}; w1 larger: {sized}"
    ))
}

/// Does something under load: the verdict is a pass. How long it took, and the longest that a kind of client was without the
/// cluster.
fn during(program: &Program, file: &Utf8Path, script: &str) -> Result<String> {
    let verdict = program.passes_during(file, script)?;
    let at = |phase: &str| verdict["phases"][phase].as_f64().ok_or("no such phase");
    let took = (at("applied_us")? - at("fault_us")?) / 1e6;
    let probes = verdict["probes"].as_object().ok_or("no probes")?;
    let outages = probes
        .values()
        .filter_map(|probe| probe["outage_ms"].as_f64());
    let outage = outages.fold(0.0, f64::max) / 1e3;
    let (lost, of) = (
        &verdict["ledger"]["lost"],
        &verdict["ledger"]["acknowledged"],
    );
    Ok(format!(
        "{took:.1} s, without the cluster {outage:.2} s at most, {lost} of {of} acknowledged writes lost"
    ))
}
