//! etcd's quorum is lost for good, and the cluster comes back from what is left.

use std::time::{Duration, Instant};

use regent::image::NodeImage;

use crate::cluster::Seen;
use crate::lab::Result;
use crate::operations::{THREE, file, lose_disks};
use crate::program::{Program, ROLLOUT};
use crate::scenarios::expect;

/// What `regent` exits with when an operation failed.
const FAILED: i32 = 4;

/// How long `status` may take, whatever is dead; a process and a busy machine included.
const TOLD: Duration = Duration::from_secs(2);

/// Two of three disks are gone for good: every command says so and what can be done, nothing is done without consent; then what
/// the third has goes on, revisions too, and the others join it.
pub fn a_lost_quorum_is_restored(_: &NodeImage) -> Seen {
    let program = Program::with(&file(THREE))?;
    let told = restored(&program);
    program.down()?;
    told
}

fn restored(program: &Program) -> Seen {
    program.says(&["up"])?;
    let refused = program.refuses(&["restore", "--accept-data-loss", "m2,m3"], FAILED)?;
    expect(refused.contains("etcd has a quorum"), refused)?;
    let before = write(program, "before")?;
    lose_disks(program)?;

    let begun = Instant::now();
    let status = program.regent(&["status"])?;
    let took = begun.elapsed();
    let status = String::from_utf8_lossy(&status.stdout).into_owned();
    expect(status.contains("no quorum"), status)?;
    expect(took < TOLD, format!("told within {TOLD:?}, not {took:.1?}"))?;
    for asked in [
        &["up"][..],
        &["restore"],
        &["restore", "--accept-data-loss", "m2"],
    ] {
        let refused = program.refuses(asked, FAILED)?;
        expect(refused.contains("--accept-data-loss m2,m3"), refused)?;
    }

    let begun = Instant::now();
    program.says(&["restore", "--accept-data-loss", "m2,m3"])?;
    let took = begun.elapsed();
    program.is_healthy()?;
    program.is_as_planned()?;
    program.keeps(&["before".to_owned()])?;
    let after = write(program, "after")?;
    expect(
        after > before,
        format!("revisions go on: {before}, then {after}"),
    )?;
    let again = members_are_spoilt(program)?;
    // Controllers and schedulers work on.
    let make = [
        "kubectl",
        "create",
        "deployment",
        "app",
        "--image=registry.k8s.io/pause:3.10.1",
        "--replicas=2",
    ];
    program.says(&make)?;
    program.says(&ROLLOUT)?;
    Ok(format!(
        "three voting members again after {took:.1?}; revision {before}, then {after}; {again}"
    ))
}

/// The aim for a control plane that has its power back.
const BACK: Duration = Duration::from_secs(20);

/// Every control-plane node loses power at once; when they have it again the cluster is back by itself, with all that was stored.
pub fn the_whole_control_plane_loses_power(program: &Program) -> Seen {
    const NODES: [&str; 2] = ["m1", "m2"];
    program.is_as_planned()?;
    expect(program.stores("before-the-cut")?, "it is stored".to_owned())?;
    for node in NODES {
        program.says(&["node", "cut", node])?;
    }
    let begun = Instant::now();
    for node in NODES {
        program.says(&["node", "start", node])?;
    }
    let mut tries = 0;
    while !program.stores(&format!("after-the-cut-{tries}"))? {
        tries += 1;
        let waited = begun.elapsed();
        expect(
            waited < 3 * BACK,
            format!("writable again after {waited:.1?}"),
        )?;
    }
    let took = begun.elapsed();
    expect(
        took < BACK,
        format!("writable within {BACK:?}, not {took:.1?}"),
    )?;
    program.keeps(&["before-the-cut".to_owned()])?;
    // Controllers and pods follow.
    program.says(&["up"])?;
    program.is_as_planned()?;
    Ok(format!(
        "writable {took:.1?} after the first had power again"
    ))
}

/// What two of the three have on their disks is of no use, though their nodes answer: they are given up all the same, and what
/// they had is kept.
fn members_are_spoilt(program: &Program) -> Seen {
    let before = write(program, "between")?;
    let spoil = "systemctl stop kubelet; pkill -KILL -x etcd; for log in /var/lib/etcd/member/wal/*.wal; do echo spoilt >$log; done";
    for node in ["m2", "m3"] {
        program.says(&["ssh", node, spoil])?;
    }
    let begun = Instant::now();
    let said = program.says(&["--json", "restore", "--accept-data-loss", "m2,m3"])?;
    let took = begun.elapsed();
    let said: serde_json::Value = serde_json::from_str(said.lines().last().unwrap_or_default())?;
    let survivor = &said["survivor"];
    let whole = survivor["node"] == "m1" && survivor["revision"].as_u64() >= Some(before);
    expect(whole, format!("what m1 had at revision {before}: {said}"))?;
    program.is_healthy()?;
    program.is_as_planned()?;
    program.keeps(&["before", "between"].map(str::to_owned))?;
    let aside = program.paths()?.root().join("set-aside");
    let kept = std::fs::read_dir(&aside)?.count();
    expect(kept == 2, format!("two disks in {aside}, not {kept}"))?;
    let earlier = program.says(&["ssh", "m1", "ls /var/lib/regent | grep -c before-restore"])?;
    expect(
        earlier.trim() == "2",
        format!("what m1 had, twice: {earlier}"),
    )?;
    Ok(format!("two spoilt members given up in {took:.1?}"))
}

/// Stores something; returns its revision.
fn write(program: &Program, name: &str) -> Result<u64> {
    let field = "--output=jsonpath={.metadata.resourceVersion}";
    let revision = program.says(&["kubectl", "create", "configmap", name, field])?;
    Ok(revision.trim().parse()?)
}
