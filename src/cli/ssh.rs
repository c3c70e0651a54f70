//! `regent ssh`

use std::iter;

use clap::Args;

use super::context::Context;
use super::exec::become_program;
use super::failure::{Failure, Outcome};
use super::lab::no_such_node;
use crate::file::write_whole;
use crate::lab::Lab;
use crate::ops::Hold;
use crate::plan::NodePlan;
use crate::site::SiteError;

/// Log in to a node, or run a command there
///
/// Uses the system's `ssh` with the lab's key and the node's pinned host key.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regent ssh m1                    a shell
  regent ssh m1 uptime
  regent ssh w1 'journalctl -u kubelet | tail'")]
pub struct Ssh {
    /// The node: `m1`, `w2`, `lb1`; `master1` means `m1`
    node: super::node::NodeArg,
    /// The command and its arguments
    #[arg(
        value_name = "CMD",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    command: Vec<String>,
}

impl Ssh {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let opened = context.opened(Hold::Look)?;
        let name = self.node.into_name();
        let node = opened
            .node(&name)
            .ok_or_else(|| no_such_node(&opened.plan, &name))?;
        let lab = &opened.lab;
        let host = format!("root@{}", node.address);
        let options = options(lab, node)?;
        let args = options.iter().chain(iter::once(&host)).chain(&self.command);
        become_program(lab, "ssh", args)
            .map_err(|failure| failure.hint("apt-get install openssh-client"))
    }
}

/// Writes the key and the pinned host key for `ssh`, into the lab's own directory (0700; `down` removes it), where
/// the same secrets are kept anyway; returns the options that make `ssh` use them and nothing else.
fn options(lab: &Lab, node: &NodePlan) -> Result<Vec<String>, Failure> {
    let secrets = lab.secrets();
    let host = secrets
        .hosts
        .get(&node.name)
        .ok_or_else(|| SiteError::NoHostKey(node.name.clone()))?;
    let key = lab.paths().root().join("ssh_key");
    let known_hosts = lab.paths().root().join("ssh_known_hosts");
    let known = format!("{} {}\n", node.address, host.public);
    write_whole(&key, secrets.client.private.as_bytes(), 0o600)?;
    write_whole(&known_hosts, known.as_bytes(), 0o600)?;
    Ok(vec![
        "-F".to_owned(),
        "none".to_owned(),
        "-i".to_owned(),
        key.into_string(),
        format!("-oUserKnownHostsFile={known_hosts}"),
        "-oStrictHostKeyChecking=yes".to_owned(),
        "-oIdentitiesOnly=yes".to_owned(),
        "-oLogLevel=ERROR".to_owned(),
    ])
}
