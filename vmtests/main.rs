//! Scenarios on a real cluster, each a short story: `just vmtest` tells the main one, `just e2e` all of them.
//!
//! ```text
//! export REGENT_VMTEST=1                     without it they are all skipped
//! cargo test --test vmtests                  the main story: the etcd leader's power is cut
//! cargo test --test vmtests -- --all         every story
//! cargo test --test vmtests -- worker soft  those whose names contain a word
//! cargo test --test vmtests -- --list        their names
//! cargo test --test vmtests -- --soak        the long ones: ten losses in a row, ten minutes of full load
//! cargo test --test vmtests -- --bench 3     no story: the time of every step of `up`, three runs
//! ```
//!
//! They share one cluster, `vmtests/cluster.yaml`, made before the first and removed after the last.
//! `REGENT_KEEP=1` keeps it when a story fails, and says how to get in. Where the machine lacks something all are
//! skipped, loudly; with `CI=true` that is a failure.

#![expect(
    unreachable_pub,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program of its own, whose output is its result"
)]

mod bench;
mod cluster;
mod etcd_stories;
mod faults;
mod lab;
mod lab_stories;
mod machine_stories;
mod other_host;
mod own_cluster;
mod place;
mod remote_stories;
mod runner;
mod soak;
mod stories;

fn main() -> std::process::ExitCode {
    lab::Part::play().unwrap_or_else(|| runner::main(stories::ALL, soak::ALL))
}
