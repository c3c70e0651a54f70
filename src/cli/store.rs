//! `regent store`

use std::fmt::Write;

use clap::{Args, Subcommand};

use super::context::Context;
use super::failure::{Failure, Outcome};
use crate::event::Events;
use crate::image::{self, Lock};
use crate::spec::Driver;
use crate::store::{self, Checked};

/// Look after the store of built and fetched things
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regent store build               everything the cluster's nodes boot
  regent store build --check       build it again and compare the bits
  regent store verify              is every path what it was?
  regent store gc                  remove what no lab and no lock file needs")]
pub struct Store {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Build what the cluster's nodes boot
    #[command(after_help = "\
Examples:
  regent store build
  regent store build --check       build again, compare the bits; exit code 4 if they differ")]
    Build {
        /// Build again what is there, and compare the bits
        #[arg(long)]
        check: bool,
    },
    /// List what is there
    #[command(after_help = "Example:\n  regent store list --json | jq .")]
    List,
    /// Compare every path with its hash; remove the damaged ones
    #[command(after_help = "Example:\n  regent store verify")]
    Verify,
    /// Remove what nothing needs
    #[command(after_help = "Example:\n  regent store gc")]
    Gc,
}

impl Store {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        match self.verb {
            Verb::Build { check: false } => build(context),
            Verb::Build { check: true } => check(context),
            Verb::List => list(context),
            Verb::Verify => verify(context),
            Verb::Gc => collect(context),
        }
    }
}

/// What an interrupted store command leaves.
const LEFT: &str = "what was done is kept, nothing is half-made; the same command goes on";

fn build(context: &Context) -> Result<Outcome, Failure> {
    let image = context.image(&context.plan()?)?;
    let mut text = String::new();
    for (name, path) in &image.parts {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name:<28} {path}");
    }
    context.print(&text, &image.parts)?;
    Ok(Outcome::Done)
}

fn check(context: &Context) -> Result<Outcome, Failure> {
    let plan = context.plan()?;
    let checked = on_store(context, move |store, events| {
        let (lock, _) = Lock::current()?;
        let all = image::parts(&lock, plan.kubernetes, plan.driver)?.closure();
        Ok(store.check(&all, events)?)
    })?;
    let mut text = String::new();
    let mut differing = 0;
    for Checked {
        path,
        first_difference,
    } in &checked
    {
        let _ = match first_difference {
            None => writeln!(text, "same      {path}"),
            Some(entry) => {
                differing += 1;
                writeln!(text, "different {path}: {}", entry.display())
            }
        };
    }
    context.print(&text, &checked)?;
    match differing {
        0 => Ok(Outcome::Done),
        _ => Err(Failure::operation(format!(
            "{differing} of {} paths have other bits when they are built again",
            checked.len()
        ))),
    }
}

fn list(context: &Context) -> Result<Outcome, Failure> {
    let all = on_store(context, |store, _| Ok(store.list()?))?;
    let mut text = String::new();
    for path in &all {
        let mebibytes = path.bytes as f64 / f64::from(1u32 << 20);
        let _ = writeln!(text, "{mebibytes:>9.1} MiB  {}", path.path);
    }
    context.print(&text, &all)?;
    Ok(Outcome::Done)
}

fn verify(context: &Context) -> Result<Outcome, Failure> {
    let findings = on_store(context, |store, events| Ok(store.verify(events)?))?;
    let mut text = String::new();
    let mut damaged = 0;
    for finding in &findings {
        let word = if finding.sound {
            "sound"
        } else {
            damaged += 1;
            "damaged"
        };
        let _ = writeln!(text, "{word:<8} {}", finding.path);
    }
    context.print(&text, &findings)?;
    match damaged {
        0 => Ok(Outcome::Done),
        _ => Err(
            Failure::operation(format!("{damaged} damaged paths were removed"))
                .hint("`regent store build` makes them again"),
        ),
    }
}

fn collect(context: &Context) -> Result<Outcome, Failure> {
    let collected = on_store(context, |store, events| {
        let (lock, _) = Lock::current()?;
        let mut keep = Vec::new();
        for version in image::versions() {
            for driver in [Driver::Lxc, Driver::Qemu] {
                let all = image::parts(&lock, version, driver)?.closure();
                keep.extend(all.iter().map(|derivation| derivation.path().clone()));
            }
        }
        Ok(store.collect(&keep, events)?)
    })?;
    let mebibytes = collected.bytes as f64 / f64::from(1u32 << 20);
    context.print(
        &format!(
            "removed {} paths, {mebibytes:.1} MiB\n",
            collected.removed.len()
        ),
        &collected,
    )?;
    Ok(Outcome::Done)
}

/// Opens the store and works on it, on a thread that an interrupt leaves behind.
fn on_store<T: Send + 'static>(
    context: &Context,
    work: impl FnOnce(&store::Store, &Events) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let (root, events) = (context.global.store.clone(), context.events());
    context.blocking(LEFT, move || work(&store::Store::open(&root)?, &events))
}
