//! The node with etcd's leader loses power in the middle of an operation, as regent does.

use std::fmt::Write as _;
use std::time::Instant;

use regent::image::NodeImage;

use crate::cluster::Seen;
use crate::lab::Result;
use crate::operations::{FEWER, ONE, THREE, file, lose_disks};
use crate::program::Program;
use crate::scenarios::expect;

/// Where the table lands.
const TABLE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/docs/operations-leader-lost.md"
);

/// What stands above it.
const HEAD: &str = "\
# The leader lost, amid an operation

Made by `just soak`. An operation is begun on a healthy cluster of the size before it, and kills itself at the moment that the table
names; then the node with etcd's leader loses power, and `regent up` brings the cluster to what the file says. *Healthy* means that
every check of `regent status` holds then, that another `up` finds nothing to do, and that what was stored before is there.

| operation | killed at | leader cut | the next `up` | then |
|---|---|---|---|---|
";

/// An operation: its name, the file's nodes before and after, what begins it, and where regent dies.
struct Moment {
    name: &'static str,
    before: &'static str,
    after: &'static str,
    begin: &'static [&'static str],
    point: &'static str,
}

const UP: &[&str] = &["up"];

/// The worst moments: a member was added and votes, its predecessor is out, the only one has just begun anew.
const MOMENTS: [Moment; 6] = [
    Moment {
        name: "one control-plane node becomes three",
        before: ONE,
        after: THREE,
        begin: UP,
        point: "join control plane m2/after",
    },
    Moment {
        name: "a control-plane node goes",
        before: THREE,
        after: FEWER,
        begin: UP,
        point: "forget member m3/after",
    },
    Moment {
        name: "a control-plane node comes",
        before: FEWER,
        after: THREE,
        begin: UP,
        point: "join control plane m3/during:8000",
    },
    Moment {
        name: "a control-plane node is replaced",
        before: THREE,
        after: THREE,
        begin: &["replace", "m2"],
        point: "forget member m2/after",
    },
    Moment {
        name: "a control-plane node is replaced",
        before: THREE,
        after: THREE,
        begin: &["replace", "m2"],
        point: "join control plane m2/after",
    },
    Moment {
        name: "a lost quorum is restored",
        before: THREE,
        after: THREE,
        begin: &["restore", "--accept-data-loss", "m2,m3"],
        point: "revive etcd m1/after",
    },
];

/// One cluster goes through all of them; leaves a table in `docs/`.
pub fn the_leader_is_lost_amid_operations(_: &NodeImage) -> Seen {
    let program = Program::with(&file(ONE))?;
    program.says(&["up"])?;
    let mut table = HEAD.to_owned();
    let mut kept = Vec::new();
    for (number, moment) in MOMENTS.iter().enumerate() {
        println!("        {}, {}", moment.name, moment.point);
        program.write(&file(moment.before))?;
        program.is_as_planned()?;
        let word = format!("before-{number}");
        program.says(&["kubectl", "create", "configmap", &word])?;
        kept.push(word);
        let row = through(&program, moment)?;
        program.is_healthy()?;
        program.is_as_planned()?;
        program.keeps(&kept)?;
        let _ = writeln!(
            table,
            "| {} | `{}` | {row} | healthy |",
            moment.name, moment.point
        );
    }
    program.down()?;
    std::fs::write(TABLE, table)?;
    Ok(format!("{} times, healthy after each", MOMENTS.len()))
}

fn through(program: &Program, moment: &Moment) -> Result<String> {
    program.write(&file(moment.after))?;
    if moment.begin[0] == "restore" {
        lose_disks(program)?;
    }
    program.dies_at(moment.begin, moment.point)?;
    let leader = leader(program)?;
    program.says(&["node", "cut", &leader])?;
    let begun = Instant::now();
    program.says(UP)?;
    Ok(format!("{leader} | {:.0} s", begun.elapsed().as_secs_f64()))
}

/// The node whose member leads, as soon as one does.
fn leader(program: &Program) -> Result<String> {
    let begun = Instant::now();
    loop {
        let status = program.status()?;
        let nodes = status["nodes"].as_array().ok_or("no nodes")?;
        let leads = nodes.iter().find(|node| node["etcd"] == "leader");
        if let Some(name) = leads.and_then(|node| node["name"].as_str()) {
            return Ok(name.to_owned());
        }
        let waited = begun.elapsed().as_secs();
        expect(waited < 60, format!("a leader within a minute: {status}"))?;
        std::thread::sleep(std::time::Duration::from_millis(500));
    }
}
