//! The same set-up on every machine: start it, write its files, make them take effect.

use std::time::Duration;

use camino::Utf8PathBuf;

use crate::fault;
use crate::image::NodeImage;
use crate::name::NodeName;
use crate::node::NodeFile;
use crate::plan::{NodePlan, NodeRole};
use crate::provider::{Boot, NodeMedia};
use crate::recipe::lookup::{known, no_such, planned, session};
use crate::recipe::{RecipeError, fingerprint};
use crate::render::{self, backup::TIMER};
use crate::site::Site;
use crate::spec::Driver;

/// A container node answers after 2 to 6 s; an emulated virtual machine after 26 s alone, about a minute where several
/// boot at once on two cores, and after 115 s was the slowest seen, beside other work.
const BOOT: Duration = Duration::from_secs(240);

/// Three times what a container takes to boot on a busy machine.
const SILENT: Duration = Duration::from_secs(20);

/// Makes the node's domain exist and run, and waits until it answers.
pub(super) async fn start(
    site: &Site,
    image: &NodeImage,
    name: &NodeName,
) -> Result<(), RecipeError> {
    let node = &known(site, name)?;
    let secrets = site.lab.secrets();
    let host = secrets.hosts.get(name).ok_or_else(|| no_such(name))?;
    let media = NodeMedia {
        boot: Boot::of(image, node),
        host: host.clone(),
        authorized: secrets.client.public.clone(),
    };
    let started = site.provider.ensure_node(node, &media).await?;
    fault::reverted(site, name)?;
    // One that ran before may have been started a moment ago by somebody who did not wait; or it hangs.
    let patience = match (started, site.plan.driver) {
        (false, Driver::Lxc) => SILENT,
        _ => BOOT,
    };
    let Err(source) = session(site, name)?.wait_reachable(patience).await else {
        return Ok(());
    };
    let console = site.provider.console(name).await;
    Err(match console {
        console if !started => RecipeError::Silent {
            node: name.clone(),
            console,
            source: Box::new(source),
        },
        Some(console) => RecipeError::Boot {
            node: name.clone(),
            console,
            source: Box::new(source),
        },
        None => source.into(),
    })
}

/// Makes written files take effect; each part does nothing where nothing changed. The last line is the mark that the
/// next look finds.
const APPLY: &str = r"
systemctl daemon-reload
sysctl --quiet --system >/dev/null 2>&1 || true
networkctl reload
";

/// The backups' timer runs where it is planned, and nothing of it is left where it is not.
fn backups(node: &NodePlan) -> String {
    let [script, service, timer] = render::backup::FILES;
    let planned = node.files.iter().any(|file| file.path == timer);
    match planned {
        true => format!("systemctl enable --quiet {TIMER}\nsystemctl restart {TIMER}\n"),
        false => format!(
            "[ ! -e {timer} ] || systemctl disable --quiet --now {TIMER}\n\
             rm -f {script} {service} {timer}\n"
        ),
    }
}

/// Writes the node's planned files and makes them take effect.
pub(super) async fn configure(site: &Site, name: &NodeName) -> Result<(), RecipeError> {
    let node = planned(site, name)?;
    let session = session(site, name)?;
    let files: Vec<_> = node
        .files
        .iter()
        .map(|file| NodeFile {
            path: file.path.clone(),
            mode: file.mode,
            content: file.content.clone().into_bytes(),
        })
        .collect();
    session.push(&files).await?;
    let apply = match node.role {
        NodeRole::ControlPlane => format!("{APPLY}{}", backups(node)),
        NodeRole::LoadBalancer | NodeRole::Worker => APPLY.to_owned(),
    };
    session.script(apply).run().await?;
    let mark = NodeFile {
        path: Utf8PathBuf::from("/var/lib/regent/configured"),
        mode: 0o644,
        content: format!("{}\n", fingerprint::of_node(node)).into_bytes(),
    };
    Ok(session.push(&[mark]).await?)
}
