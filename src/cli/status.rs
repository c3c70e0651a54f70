//! `regent status`

use clap::Args;

use super::context::Context;
use super::failure::{Failure, Outcome};
use crate::lab::ActiveFault;
use crate::ops::{self, Hold, Report};
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
        let (opened, differs) = context.opened_quietly(Hold::Look)?;
        let record = opened.record.clone();
        let report = context.on_opened(opened, async |site| {
            let report = async { Ok::<_, Failure>(ops::report(&site, &record, differs).await) };
            context.or_interrupt("nothing was changed", report).await
        })?;
        context.print(&text(&report), &report)?;
        Ok(Outcome::Done)
    }
}

/// The table, and below it what is on record that explains it.
fn text(report: &Report) -> String {
    let mut text = table(&report.status);
    for fault in &report.faults {
        let ActiveFault {
            node,
            fault,
            by,
            since,
            revert,
        } = fault;
        let since = since.strftime("%F %T UTC");
        text.push_str(&format!(
            "fault    {node}: {fault}, by `{by}`, in force since {since}; `{revert}` reverts it\n"
        ));
    }
    for (word, line) in [("begun", &report.operation), ("differs", &report.differs)] {
        if let Some(line) = line {
            text.push_str(&format!("{word:<8} {line}\n"));
        }
    }
    text
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
            node.domain.to_string(),
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
    if let Some(recipe::Expiry { node, subject, end }) = &status.ends_first {
        let end = end.strftime("%F");
        text.push_str(&format!(
            "expires  {end} at the earliest: {subject} on {node}\n"
        ));
    }
    if let Some(backups) = &status.backups {
        text.push_str(&kept(backups));
    }
    text
}

fn kept(backups: &recipe::Backups) -> String {
    let newest = match (&backups.newest, &backups.node) {
        (Some(name), Some(node)) => format!("the newest is {name}, on {node}"),
        _ => "none yet".to_owned(),
    };
    let mut text = format!("backups  {newest}\n");
    for node in &backups.failed {
        text.push_str(&format!(
            "backups  {node}: the last try failed: regent logs {node} --unit regent-backup\n"
        ));
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
