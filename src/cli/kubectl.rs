//! `regent kubectl`

use clap::Args;

use super::context::Context;
use super::exec::become_program;
use super::failure::{Failure, Outcome};
use crate::ops::Hold;

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
        let opened = context.opened(Hold::Look)?;
        // The one that the nodes have, from the store that they were made of.
        let Some(image) = &opened.record.image else {
            let missing = Failure::operation("the cluster's nodes are not made yet");
            return Err(missing.hint("`regent up` makes them"));
        };
        let kubectl = image.root.join("usr/bin/kubectl");
        become_program(&opened.lab, kubectl.as_str(), self.args)
    }
}
