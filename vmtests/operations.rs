//! What changes a running cluster, killed at every point where it can be, and begun again.

use std::fmt::Write as _;
use std::time::Instant;

use camino::Utf8PathBuf;
use regent::image::NodeImage;

use crate::cluster::Seen;
use crate::lab::Result;
use crate::program::{Program, killed, said};
use crate::scenarios::expect;

/// Where the table lands.
const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/operations.md");

/// What stands above it.
const HEAD: &str = "\
# Operations, killed

Made by `just soak`. Each operation is begun on a healthy cluster and kills itself at every failpoint that it comes to, before,
amid and after every action, once each; then it is begun again, until it comes to its end (a replacement after an `up`, which
brings back what it had taken away, and dies on its way too). *Healthy* means that every
check of `regent status` holds then, that another `up` finds nothing to do, and that every ConfigMap is there that was stored
between two kills.

| operation | kills | from the first to the end | stored between kills, and there | then |
|---|---|---|---|---|
";

/// More kills than any operation has points.
const KILLS: usize = 150;

/// The nodes of a file.
pub const ONE: &str = "controlPlane: { count: 1, endpoint: none }\nworkers: { count: 1 }\n";
pub const THREE: &str = "controlPlane: { count: 3 }\nworkers: { count: 1 }\n";
pub const FEWER: &str = "controlPlane: { count: 2 }\nworkers: { count: 0 }\n";

/// An operation: its name, the file's nodes, and what begins it.
const OPERATIONS: [(&str, &str, &[&str]); 5] = [
    ("one control-plane node becomes three", THREE, &["up"]),
    (
        "the first control-plane node is replaced",
        THREE,
        &["replace", "m1"],
    ),
    ("a control-plane node and a worker go", FEWER, &["up"]),
    ("a control-plane node and a worker come", THREE, &["up"]),
    (
        "a lost quorum is restored",
        THREE,
        &["restore", "--accept-data-loss", "m2,m3"],
    ),
];

/// One cluster goes through all of them; leaves a table in `docs/`.
pub fn operations_killed_at_every_point(_: &NodeImage) -> Seen {
    let program = Program::with(&file(ONE))?;
    program.says(&["up"])?;
    let mut table = HEAD.to_owned();
    let mut all = 0;
    for (name, nodes, begin) in OPERATIONS {
        println!("        {name}");
        program.write(&file(nodes))?;
        if begin[0] == "restore" {
            lose_disks(&program)?;
        }
        let (kills, row) = through(&program, name, begin)?;
        all += kills;
        let _ = writeln!(table, "| {name} | {row} | healthy |");
    }
    program.down()?;
    std::fs::write(TABLE, table)?;
    Ok(format!(
        "{} operations, {all} kills, healthy after each",
        OPERATIONS.len()
    ))
}

/// A cluster's file with these nodes.
pub fn file(nodes: &str) -> String {
    format!("apiVersion: regent/v1\nname: omicron\nhypervisor: {{ driver: lxc }}\n{nodes}")
}

/// Two of three etcd members are gone for good.
pub fn lose_disks(program: &Program) -> Result {
    for node in ["m2", "m3"] {
        program.says(&["node", "cut", node])?;
    }
    for node in ["m2", "m3"] {
        std::fs::remove_dir_all(program.paths()?.node(&node.parse()?))?;
    }
    Ok(())
}

/// Begins an operation, has it die at every point, and goes on with `up`; how often it died, and the cells of its row.
fn through(program: &Program, name: &str, begin: &[&str]) -> Result<(usize, String)> {
    let passed = passed(program, name)?;
    let (begun, mut kept, mut kills) = (Instant::now(), Vec::new(), 0);
    let mut words = begin;
    loop {
        let ended = program.with_failpoint(words, &format!("each:{passed}"))?;
        // A replacement does not go on: `up` brings back what it has taken away, and then it begins anew.
        let replaces = begin[0] == "replace";
        if ended.status.success() && replaces && words != begin {
            words = begin;
            continue;
        }
        if ended.status.success() {
            break;
        }
        if !killed(&ended) && begin[0] == "restore" && words != ["up"] {
            // The quorum is there again, and `up` goes on.
            expect(said(&ended).contains("etcd has a quorum"), said(&ended))?;
            words = &["up"];
            continue;
        }
        kills += 1;
        let dies = killed(&ended) && kills < KILLS;
        expect(dies, format!("{name}: killed, not {}", said(&ended)))?;
        if replaces {
            words = &["up"];
        }
        let word = format!("kept-{}-{kills}", dashed(name));
        if program.stores(&word)? {
            kept.push(word);
        }
    }
    let took = begun.elapsed().as_secs_f64();
    program.is_healthy()?;
    program.is_as_planned()?;
    program.keeps(&kept)?;
    Ok((kills, format!("{kills} | {took:.0} s | {}", kept.len())))
}

/// The file of the points at which an operation has died.
fn passed(program: &Program, name: &str) -> Result<Utf8PathBuf> {
    Ok(program
        .directory()?
        .join(format!("passed-{}", dashed(name))))
}

fn dashed(name: &str) -> String {
    name.replace(' ', "-")
}
