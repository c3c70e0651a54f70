//! Scenarios on a real cluster, each proving one thing: `just vmtest` runs the main one, `just e2e` all of them.
//!
//! ```text
//! export REGENT_VMTEST=1                     without it they are all skipped
//! cargo test --test vmtests                  the main scenario: the etcd leader's power is cut
//! cargo test --test vmtests -- --all         every scenario
//! cargo test --test vmtests -- worker soft  those whose names contain a word
//! cargo test --test vmtests -- --list        their names
//! cargo test --test vmtests -- --soak        the long ones: ten losses in a row, ten minutes of full load
//! cargo test --test vmtests -- --bench 3     no scenario, but the time of every step of `up`, three runs
//! ```
//!
//! They share one cluster, `vmtests/cluster.yaml`, made before the first and removed after the last.
//! `REGENT_KEEP=1` keeps it when a scenario fails, and says how to get in. Where the machine lacks something all are
//! skipped, loudly; with `CI=true` that is a failure.

#![expect(
    unreachable_pub,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program of its own, whose output is its result"
)]

mod backup_scenarios;
mod bench;
mod cluster;
mod command_scenarios;
mod etcd_scenarios;
mod failpoints;
mod faults;
mod lab;
mod lab_scenarios;
mod leader_lost;
mod life_scenarios;
mod machine_scenarios;
mod migration_scenarios;
mod operations;
mod other_host;
mod own_cluster;
mod place;
mod platform_scenarios;
mod program;
mod quorum_scenarios;
mod recovery_scenarios;
mod remote_scenarios;
mod runner;
mod scenarios;
mod soak;
mod space_scenarios;

fn main() -> std::process::ExitCode {
    regent::machine::set_umask();
    lab::Part::play().unwrap_or_else(|| runner::main(scenarios::ALL, soak::ALL))
}
