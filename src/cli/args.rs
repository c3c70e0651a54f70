//! What can be asked: the flags that every command takes, and the commands.

use camino::Utf8PathBuf;
use clap::{Args, Parser, Subcommand};

use super::{
    backup, completions, doctor, down, etcd, exec, init, kubeconfig, kubectl, lock, logs, node,
    plan, replace, restore, rollback, schema, ssh, status, store, up, verify,
};

/// Turns one cluster.yaml into a running, highly available kubeadm cluster on libvirt nodes, and proves that it
/// survives the loss of a control-plane node.
#[derive(Debug, Parser)]
#[command(
    name = "regent",
    version,
    max_term_width = 100,
    after_help = "\
Examples:
  regent init                      write a commented cluster.yaml
  regent doctor                    what does this machine lack?
  regent up                        from cluster.yaml to a running cluster
  regent verify                    kill the etcd leader under load and judge
  regent kubectl get nodes         look at it
  regent down                      remove every trace

Exit codes:
  0 done    1 verdict `fail` or `void`    2 usage or a wrong cluster.yaml
  3 the machine lacks something    4 an operation failed    130 interrupted, after clean-up"
)]
pub struct Cli {
    /// What every command takes.
    #[command(flatten)]
    pub global: Global,
    /// The command.
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Debug, Clone, Args)]
pub struct Global {
    /// The cluster's file
    #[arg(
        short,
        long,
        global = true,
        value_name = "FILE",
        default_value = "cluster.yaml",
        help_heading = "Global options"
    )]
    pub file: Utf8PathBuf,
    /// Write JSON: the result, or one event a line, on standard output; an error as one object on standard error
    #[arg(long, global = true, help_heading = "Global options")]
    pub json: bool,
    /// Where labs keep their state
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "REGENT_STATE",
        default_value = "/var/lib/regent",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    pub state: Utf8PathBuf,
    /// Where built and fetched things are kept
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "REGENT_STORE",
        default_value = "/var/lib/regent/store",
        hide_env_values = true,
        help_heading = "Global options"
    )]
    pub store: Utf8PathBuf,
}

/// The commands, in the order of a cluster's life.
#[derive(Debug, Subcommand)]
#[expect(
    missing_docs,
    reason = "each command's help text stands at its arguments"
)]
pub enum Command {
    Init(init::Init),
    Doctor(doctor::Doctor),
    Plan(plan::Plan),
    Up(up::Up),
    Status(status::Status),
    Verify(verify::Verify),
    Kubectl(kubectl::Kubectl),
    Kubeconfig(kubeconfig::Kubeconfig),
    Exec(exec::Exec),
    Ssh(ssh::Ssh),
    Logs(logs::Logs),
    Node(node::Node),
    Replace(replace::Replace),
    Etcd(etcd::Etcd),
    Backup(backup::Backup),
    Restore(restore::Restore),
    Rollback(rollback::Rollback),
    Down(down::Down),
    Store(store::Store),
    Lock(lock::Lock),
    Schema(schema::Schema),
    Completions(completions::Completions),
}
