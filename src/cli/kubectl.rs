//! `regent kubectl`

use clap::Args;

use super::context::Context;
use super::exec::become_program;
use super::failure::{Failure, Outcome};

/// Run the cluster's own kubectl inside the lab's network
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  regent kubectl get nodes -o wide
  regent kubectl apply -f app.yaml
  regent -f edge.yaml kubectl get pods -A")]
pub struct Kubectl {
    /// kubectl's arguments
    #[arg(
        value_name = "ARG",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    args: Vec<String>,
}

impl Kubectl {
    pub(super) fn run(self, context: &Context) -> Result<Outcome, Failure> {
        let plan = context.plan()?;
        let lab = context.lab(&plan)?;
        let image = context.image(&plan)?;
        let kubectl = image.root.join("usr/bin/kubectl");
        become_program(&lab, kubectl.as_str(), self.args)
    }
}
