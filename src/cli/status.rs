//! `regent status`

use clap::Args;

use super::context::Context;
use super::failure::{Failure, Outcome};
use crate::hypervisor::DomainState;
use crate::kubernetes::Kubernetes;
use crate::plan::NodeRole;
use crate::recipe;

/// Show the nodes, the load balancer's servers and the etcd members
///
/// Shows what can be seen: a dead node or API server leaves gaps, not an error.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regent status                    a table
  regent status --json | jq .nodes for programs")]
pub struct Status {}

impl Status {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let status = context.on_site("nothing was changed", async |site| {
            // Without an API the rest is shown all the same.
            let kubernetes = Kubernetes::connect(&site.kubeconfig()).await.ok();
            Ok(recipe::status(&site, kubernetes.as_ref()).await)
        })?;
        context.print(&table(&status), &status)?;
        Ok(Outcome::Done)
    }
}

fn table(status: &recipe::Status) -> String {
    let mut rows = vec![
        [
            "NODE", "ROLE", "ADDRESS", "DOMAIN", "READY", "ETCD", "BALANCED",
        ]
        .map(str::to_owned),
    ];
    rows.extend(status.nodes.iter().map(|node| {
        [
            node.name.to_string(),
            role(node.role).to_owned(),
            node.address.to_string(),
            domain(node.domain).to_owned(),
            known(node.ready),
            node.etcd.unwrap_or("-").to_owned(),
            known(node.balanced),
        ]
    }));
    let mut text = columns(&rows);
    for check in &status.checks {
        let line = match &check.missing {
            None => format!("ok       {}\n", check.name),
            Some(missing) => format!("missing  {}: {missing}\n", check.name),
        };
        text.push_str(&line);
    }
    text
}

fn role(role: NodeRole) -> &'static str {
    match role {
        NodeRole::LoadBalancer => "load balancer",
        NodeRole::ControlPlane => "control plane",
        NodeRole::Worker => "worker",
    }
}

fn domain(state: DomainState) -> &'static str {
    match state {
        DomainState::Undefined => "undefined",
        DomainState::Off => "off",
        DomainState::Running => "running",
        DomainState::Paused => "paused",
    }
}

fn known(fact: Option<bool>) -> String {
    fact.map_or("-", |fact| if fact { "yes" } else { "no" })
        .to_owned()
}

/// Rows as text, each column as wide as its widest cell.
fn columns<const N: usize>(rows: &[[String; N]]) -> String {
    let widths: [usize; N] = std::array::from_fn(|column| {
        rows.iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    });
    let mut text = String::new();
    for row in rows {
        let cells: Vec<_> = row
            .iter()
            .zip(widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}
