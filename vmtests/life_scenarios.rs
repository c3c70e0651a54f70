//! Scenarios of a cluster's life: nodes come and go by editing the file, while somebody uses it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use camino::Utf8Path;

use crate::cluster::Seen;
use crate::lab::Result;
use crate::program::{Program, refuses, says};
use crate::scenarios::expect;

/// What `regent` exits with when it refuses what a file says.
const WRONG: i32 = 2;

/// No question through the load balancer may go unanswered for longer while nodes come and go.
const SILENT: Duration = Duration::from_secs(2);

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
    let app = program.directory()?.join("app.yaml");
    std::fs::write(&app, APP)?;
    program.says(&["kubectl", "apply", "--filename", app.as_str()])?;
    let rollout = [
        "kubectl",
        "rollout",
        "status",
        "deployment/app",
        "--timeout=60s",
    ];
    program.says(&rollout)?;
    let names = "--output=jsonpath={.items[*].spec.nodeName}";
    let on = program.says(&["kubectl", "get", "pods", "--selector=app=app", names])?;
    expect(
        on.contains("w1") && on.contains("w2"),
        format!("a pod on each worker: {on}"),
    )?;

    let fewer = program.other_file("controlPlane: { count: 2 }", "controlPlane: { count: 1 }")?;
    let refused = refuses(program.command_with(&fewer, &["up"])?, WRONG)?;
    expect(refused.contains("default/alone"), refused)?;
    program.says(&["kubectl", "delete", "pod", "alone", "--now"])?;

    let (took, gap) = asked_meanwhile(program, || up(program, &fewer))?;
    let nodes = "--output=jsonpath={.items[*].metadata.name}";
    let left = program.says(&["kubectl", "get", "nodes", nodes])?;
    expect(left == "m1 w1", format!("m1 and w1 are left: {left}"))?;
    program.says(&rollout)?;
    let status = says(program.command_with(&fewer, &["status"])?)?;
    expect(!status.contains("w2") && !status.contains("m2"), status)?;

    let begun = Instant::now();
    program.says(&["up"])?;
    let back = begun.elapsed();
    program.is_healthy()?;
    // The first of all, whose CA the others were made with.
    let replace = || {
        let begun = Instant::now();
        program.says(&["replace", "m1"])?;
        Ok(begun.elapsed())
    };
    let (new, silent) = asked_meanwhile(program, replace)?;
    program.is_healthy()?;
    let gap = gap.max(silent);
    program.says(&["kubectl", "delete", "deployment,pdb", "app"])?;
    Ok(format!(
        "m2 and w2 gone after {took:.1?}, m2 back after {back:.1?}, m1 replaced after {new:.1?}; no answer for {gap:.1?} at most"
    ))
}

fn up(program: &Program, file: &Utf8Path) -> Result<Duration> {
    let begun = Instant::now();
    says(program.command_with(file, &["up"])?)?;
    Ok(begun.elapsed())
}

/// Does something while the API is asked all the time; returns the longest time that no question was answered in.
fn asked_meanwhile<T>(
    program: &Program,
    work: impl FnOnce() -> Result<T>,
) -> Result<(T, Duration)> {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let asker = scope.spawn(|| -> std::result::Result<Duration, String> {
            let (mut last, mut gap) = (Instant::now(), Duration::ZERO);
            while !done.load(Ordering::Relaxed) {
                let ask = ["kubectl", "get", "--raw=/readyz", "--request-timeout=2s"];
                let asked = program.regent(&ask).map_err(|error| error.to_string())?;
                if asked.status.success() {
                    // From answer to answer; a process that is slow to start counts with it.
                    gap = gap.max(last.elapsed());
                    last = Instant::now();
                }
            }
            Ok(gap)
        });
        let worked = work();
        done.store(true, Ordering::Relaxed);
        let gap = asker.join().map_err(|_| "the asker panicked")??;
        expect(
            gap < SILENT,
            format!("unanswered for less than {SILENT:?}, not {gap:.1?}"),
        )?;
        Ok((worked?, gap))
    })
}
