//! `up` killed, by itself, wherever it can be (`REGENT_FAILPOINT`), and begun again.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use regent::image::NodeImage;

use crate::cluster::Seen;
use crate::lab::Result;
use crate::program::{Program, killed, said};
use crate::scenarios::expect;

/// Far more kills than there are points: an `up` that dies at one of them for ever must end.
const KILLS: usize = 200;

/// Where the table of [`each_failpoint_from_nothing`] lands.
const TABLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/failpoints.md");

/// What stands above it.
const HEAD: &str = "\
# `up`, killed

Made by `just soak`: for every failpoint of `up` a cluster (two control-plane nodes, a worker, a load balancer) is begun from
nothing, `up` kills itself there, and a second `up` goes on. *Healthy* means that every check of `regent status` holds after it,
and that a ConfigMap is there that was stored before, where the API could be reached. A point that only an `up` after a kill
comes to is passed by here; the scenario `killed_at_every_step` goes through those as well.

| killed at | after | the next `up` | then |
|---|---|---|---|
";

/// A cluster is brought up through a kill at every point; what was stored between two kills is there at the end.
pub fn killed_at_every_step(program: &Program) -> Seen {
    let each = format!("each:{}", program.directory()?.join("passed"));
    let (begun, mut kept, mut kills) = (Instant::now(), Vec::new(), 0);
    loop {
        let up = program.with_failpoint(&["up"], &each)?;
        if up.status.success() {
            break;
        }
        kills += 1;
        let dies = killed(&up) && kills < KILLS;
        expect(dies, format!("killed, not {}", said(&up)))?;
        let word = format!("kept-{kills}");
        if program.stores(&word)? {
            kept.push(word);
        }
    }
    let took = begun.elapsed();
    program.is_healthy()?;
    program.keeps(&kept)?;
    expect(kills >= 30, format!("thirty kills and more, not {kills}"))?;
    Ok(format!(
        "{kills} kills, then healthy, {:.0} s in all; {} words stored between them are there",
        took.as_secs_f64(),
        kept.len()
    ))
}

/// The same point by point, each from nothing; leaves a table in `docs/`. With `REGENT_FAILPOINTS=TEXT` only the points of the
/// table whose names contain the text are done again.
pub fn each_failpoint_from_nothing(_: &NodeImage) -> Seen {
    let only = std::env::var("REGENT_FAILPOINTS").ok();
    let known = std::fs::read_to_string(TABLE).unwrap_or_default();
    let points = match only {
        Some(_) => known.lines().filter_map(point).map(str::to_owned).collect(),
        None => all()?,
    };
    let mut table = HEAD.to_owned();
    let (mut count, mut failed) = (0, Vec::new());
    for name in points {
        let row = known.lines().find(|row| point(row) == Some(&name));
        if let (Some(only), Some(row)) = (&only, row)
            && !name.contains(only.as_str())
        {
            let _ = writeln!(table, "{row}");
            continue;
        }
        println!("        {name}");
        let (row, healthy) = from_nothing(&name)?;
        count += 1;
        if let Err(why) = healthy {
            failed.push(format!("{name}: {why}"));
        }
        let _ = writeln!(table, "| `{name}` | {row} |");
    }
    std::fs::write(TABLE, table)?;
    expect(failed.is_empty(), format!("healthy after each: {failed:?}"))?;
    Ok(format!("{count} points, healthy after each"))
}

/// Every point, as one way to a cluster passes them.
fn all() -> Result<Vec<String>> {
    let first = Program::new()?;
    killed_at_every_step(&first)?;
    let passed = std::fs::read_to_string(first.directory()?.join("passed"))?;
    first.down()?;
    Ok(passed.lines().map(str::to_owned).collect())
}

/// The point of a row of the table.
fn point(row: &str) -> Option<&str> {
    Some(row.strip_prefix("| `")?.split_once('`')?.0)
}

/// Kills an `up` from nothing at a point, and has another go on: the cells of its row, and whether all is well.
fn from_nothing(point: &str) -> Result<(String, Result)> {
    let program = Program::new()?;
    let begun = Instant::now();
    let up = program.with_failpoint(&["up"], point)?;
    let after = begun.elapsed().as_secs_f64();
    let (row, healthy) = if killed(&up) {
        let (took, healthy) = goes_on(&program)?;
        let word = match &healthy {
            Ok(()) => "healthy",
            Err(_) => "**not healthy**",
        };
        (
            format!("{after:.1} s | {:.1} s | {word}", took.as_secs_f64()),
            healthy,
        )
    } else {
        expect(up.status.success(), said(&up))?;
        ("passed by | - | healthy".to_owned(), Ok(()))
    };
    program.down()?;
    Ok((row, healthy))
}

/// Stores a word if that can be, and has `up` go on; how long that took, and whether all is well.
fn goes_on(program: &Program) -> Result<(Duration, Result)> {
    let stored = program.stores("kept")?;
    let begun = Instant::now();
    let up = program.regent(&["up"])?;
    let took = begun.elapsed();
    let healthy = expect(up.status.success(), said(&up))
        .and_then(|()| program.is_healthy())
        .and_then(|()| match stored {
            true => program.keeps(&["kept".to_owned()]),
            false => Ok(()),
        });
    Ok((took, healthy))
}
