//! Running kubeadm on a node so that it survives regent: as a transient systemd unit with a log of its own. When
//! regent dies, kubeadm goes on, and the next run waits for it (`Action::Await`).

use std::net::Ipv4Addr;
use std::time::Duration;

use camino::Utf8PathBuf;

use crate::name::NodeName;
use crate::node::{NodeFile, Output};
use crate::recipe::RecipeError;
use crate::recipe::lookup::session;
use crate::recipe::revive::KEEP;
use crate::site::Site;
use crate::spec::Driver;

/// kubeadm bounds its own waits (2 minutes for the control plane and for each call to etcd, 1 for the others; see
/// `render::kubeadm`); this bounds their sum.
const KUBEADM: Duration = Duration::from_secs(600);

/// How much of a failed kubeadm's log is shown.
const TAIL: u32 = 25;

/// Takes out colours, and kubeadm's list of two dozen things that the kernel has, after which the error comes.
const PLAIN: &str = r"-e 's/\x1b\[[0-9;]*m//g' -e '/^[A-Z0-9_]\+: /d'";

/// A kubeadm command that changes the node.
pub(super) struct Run<'a> {
    /// For messages: `kubeadm init`.
    pub(super) what: &'static str,
    /// Arguments after `kubeadm`; `CONFIG` stands for the path of the configuration file.
    pub(super) arguments: &'a str,
    /// What is done after it has succeeded, whether or not regent lives; `CONFIG` as above, without single quotes.
    pub(super) then: Option<&'a str>,
    /// The configuration file's text; holds secrets.
    pub(super) config: String,
    /// The address of the API server that the node's kubelet is about to start, if it is.
    pub(super) api: Option<Ipv4Addr>,
}

/// In `/run`: gone with the next boot, as its secrets should be.
const CONFIG: &str = "/run/regent/kubeadm.yaml";

/// Runs kubeadm on the node to its end.
pub(super) async fn run(site: &Site, node: &NodeName, run: Run<'_>) -> Result<(), RecipeError> {
    let session = session(site, node)?;
    let config = NodeFile {
        path: Utf8PathBuf::from(CONFIG),
        mode: 0o600,
        content: run.config.into_bytes(),
    };
    session.push(&[config]).await?;
    let driver = site.plan.driver;
    let nudge = run
        .api
        .map(|address| nudge_kubelet(address, driver))
        .unwrap_or_default();
    // A container's files are in the host's page cache, which survives it.
    let settle = match driver {
        Driver::Lxc => "true",
        Driver::Qemu => "sync",
    };
    let then = run.then.map(|then| format!(" && {{ {then}; }}"));
    let kubeadm = format!("kubeadm {}{}", run.arguments, then.unwrap_or_default());
    let kubeadm = kubeadm.replace("CONFIG", CONFIG);
    let unit = format!(
        "{nudge} status=0; {{ {kubeadm}; }} >/var/log/regent/kubeadm.log 2>&1 || status=$?; rm -f {CONFIG}; \
         {settle}; exit $status"
    );
    in_unit(site, node, run.what, &unit).await
}

/// Runs a script, without single quotes, as kubeadm is run: it goes on when regent dies, and the next run waits for it.
pub(super) async fn outlive(
    site: &Site,
    node: &NodeName,
    what: &'static str,
    script: &str,
) -> Result<(), RecipeError> {
    let unit = format!("exec >/var/log/regent/kubeadm.log 2>&1\nset -eu\n{script}\nsync");
    in_unit(site, node, what, &unit).await
}

async fn in_unit(
    site: &Site,
    node: &NodeName,
    what: &'static str,
    unit: &str,
) -> Result<(), RecipeError> {
    let script = format!(
        "mkdir -p /var/log/regent\n\
         systemctl reset-failed regent-kubeadm 2>/dev/null || true\n\
         systemd-run --quiet --wait --collect --unit=regent-kubeadm -p Environment=HOME=/root sh -c '{unit}'\n"
    );
    let script = session(site, node)?.script(script).deadline(KUBEADM);
    check(site, node, what, &script.output().await?).await
}

/// A background job of the unit that restarts kubelet once the node's own API server is ready.
///
/// On a control-plane node kubelet speaks to its own API server only, which it has to start first. By then its
/// requests for a certificate, for registration and for its CSINode have failed and wait to be repeated after
/// growing pauses: measured 9 s, 6 s and 14 s, one after the other. A kubelet that starts now does all three in 2 s.
/// The unit ends with kubeadm, and this with it.
fn nudge_kubelet(address: Ipv4Addr, driver: Driver) -> String {
    // A machine may be emulated, and then starting curl alone takes half a second of a processor that kubeadm needs.
    let pause = match driver {
        Driver::Lxc => 0.1,
        Driver::Qemu => 2.0,
    };
    format!(
        "(until curl -sk --max-time 1 https://{address}:6443/readyz | grep -qx ok; do sleep {pause}; done; \
         systemctl restart kubelet) >/dev/null 2>&1 &"
    )
}

async fn check(
    site: &Site,
    node: &NodeName,
    what: &'static str,
    output: &Output,
) -> Result<(), RecipeError> {
    if output.status == 0 {
        return Ok(());
    }
    let tail = format!("sed {PLAIN} /var/log/regent/kubeadm.log 2>/dev/null | tail -n {TAIL}");
    let mut log = session(site, node)?.script(tail).run().await?;
    log.push_str(&String::from_utf8_lossy(&output.stderr));
    Err(RecipeError::Kubeadm {
        node: node.clone(),
        what,
        log,
    })
}

/// Waits for a kubeadm that an earlier run began.
pub(super) async fn wait(site: &Site, node: &NodeName) -> Result<(), RecipeError> {
    let script = "while systemctl is-active -q regent-kubeadm; do sleep 0.2; done";
    finish(site, node, script).await
}

/// What [`reset`] spares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spare {
    /// Nothing: the cluster has all of it elsewhere.
    Nothing,
    /// The cluster's CA, and etcd's data, of which there must be none.
    Authority,
}

/// Clears away what an unfinished kubeadm left on the node: files, containers, and etcd's data as far as that is not
/// spared. The node's member is out of etcd already: kubeadm would take it out without asking
/// whether the others have a quorum, and not at all where it does not answer.
pub(super) async fn reset(site: &Site, node: &NodeName, spare: Spare) -> Result<(), RecipeError> {
    let (guard, after) = match spare {
        Spare::Nothing => ("", ""),
        Spare::Authority => (
            "if ls /var/lib/etcd/member/wal/*.wal >/dev/null 2>&1; then echo 'it has etcd data' >&2; exit 1; fi\n\
             rm -rf /run/regent/authority && mkdir -p /run/regent/authority\n\
             cd /etc/kubernetes/pki 2>/dev/null && [ -s ca.crt ] && [ -s ca.key ] && cp -p ca.crt ca.key /run/regent/authority\n",
            "mkdir -p /etc/kubernetes/pki\n\
             find /run/regent/authority -type f -exec mv {} /etc/kubernetes/pki \\;\n",
        ),
    };
    let script = format!(
        "mkdir -p /var/log/regent\n\
         set +e\n\
         {guard}cd /\n\
         kubeadm reset --force --skip-phases=remove-etcd-member >/var/log/regent/kubeadm-reset.log 2>&1\n\
         rm -rf /etc/kubernetes/pki /etc/kubernetes/*.conf /etc/kubernetes/manifests/* /etc/cni/net.d/.kubernetes* /var/lib/etcd/member\n\
         {KEEP}{after}systemctl stop kubelet\n\
         exit 0\n"
    );
    finish(site, node, &script).await
}

/// Whether the node has an etcd log.
pub(super) async fn has_data(site: &Site, node: &NodeName) -> Result<bool, RecipeError> {
    let script = "ls /var/lib/etcd/member/wal/*.wal >/dev/null 2>&1";
    Ok(session(site, node)?.script(script).output().await?.status == 0)
}

/// Runs a script that takes as long as kubeadm may.
async fn finish(site: &Site, node: &NodeName, script: &str) -> Result<(), RecipeError> {
    let script = session(site, node)?.script(script);
    script.deadline(KUBEADM).run().await?;
    Ok(())
}
