//! Control-plane nodes: the certificate authority, the first one, the further ones.

use std::time::Duration;

use camino::Utf8PathBuf;
use futures::future::try_join_all;

use crate::kubernetes;
use crate::name::NodeName;
use crate::node::NodeFile;
use crate::plan::NodeRole;
use crate::recipe::kubeadm::{self, Run};
use crate::recipe::lookup::{planned, session};
use crate::recipe::world::{CONTROL_PLANE, DERIVED, STATIC_PODS};
use crate::recipe::{RecipeError, membership};
use crate::render;
use crate::render::kubeadm::{
    ASIDE, CertificateKey, DISCOVERY, InitSecrets, JoinSecrets, Token, discovery,
};
use crate::site::Site;
use crate::spec::CertificateMode;
use crate::yaml;

const CA: &str = "/etc/kubernetes/pki/ca.crt";

/// What control-plane nodes share, exactly: with one missing `join` fails before it touches the cluster, with one more
/// it finds certificates for another node's name (`certificate etcd/server is invalid`).
const SHARED: [&str; 8] = [
    "ca.crt",
    "ca.key",
    "sa.key",
    "sa.pub",
    "front-proxy-ca.crt",
    "front-proxy-ca.key",
    "etcd/ca.crt",
    "etcd/ca.key",
];

/// A question to a node that lives is answered in milliseconds.
const ASK: Duration = Duration::from_secs(10);

/// Returns a control-plane node that is a member of the cluster and answers; the first in the plan's order, so that
/// nothing hangs on a particular one.
pub async fn member(site: &Site) -> Result<NodeName, RecipeError> {
    let whole = format!(
        "cd /etc/kubernetes\nfor file in {}; do test -s $file; done\nls /var/lib/etcd/member/wal/*.wal >/dev/null 2>&1\n\
         ! systemctl is-active -q regent-kubeadm",
        CONTROL_PLANE.concat().join(" ")
    );
    let mut last = None;
    for node in site.plan.control_plane() {
        let asked = session(site, &node.name)?
            .script(&whole)
            .deadline(ASK)
            .output();
        match asked.await {
            Ok(output) if output.status == 0 => return Ok(node.name.clone()),
            Ok(_) => {}
            Err(error) => last = Some(error),
        }
    }
    Err(last.map_or_else(
        || RecipeError::Mismatch("no control-plane node is a member".to_owned()),
        Into::into,
    ))
}

/// Returns the cluster's CA certificate (PEM), from a member if there is one.
pub(super) async fn authority(site: &Site) -> Result<Vec<u8>, RecipeError> {
    if let Ok(member) = member(site).await {
        return Ok(session(site, &member)?.read(CA).await?);
    }
    for node in site.plan.control_plane() {
        if let Ok(ca) = session(site, &node.name)?.read(CA).await {
            return Ok(ca);
        }
    }
    Err(RecipeError::Mismatch(
        "no control-plane node has the certificate authority".to_owned(),
    ))
}

/// Creates the cluster's certificate authority on the node where `init` will be.
pub(super) async fn make_authority(site: &Site, node: &NodeName) -> Result<(), RecipeError> {
    let arguments = "init phase certs ca --config CONFIG";
    let config = init_config(site, node, &draw()?)?;
    kubeadm::run(
        site,
        node,
        Run {
            what: "kubeadm init phase certs ca",
            arguments,
            then: None,
            config,
            api: None,
        },
    )
    .await
}

/// Makes the node the first of the cluster; returns what others need to join.
pub(super) async fn init(site: &Site, node: &NodeName) -> Result<JoinSecrets, RecipeError> {
    let secrets = draw()?;
    alone(site, node).await?;
    // Every phase but the first does what is still to do, and takes what is there. The first wants an empty node.
    let arguments = match (site.plan.certificates, kubeadm::has_data(site, node).await?) {
        (CertificateMode::Upload, false) => "init --config CONFIG --upload-certs",
        (CertificateMode::Copy, false) => "init --config CONFIG",
        (CertificateMode::Upload, true) => {
            "init --skip-phases=preflight --config CONFIG --upload-certs"
        }
        (CertificateMode::Copy, true) => "init --skip-phases=preflight --config CONFIG",
    };
    let config = init_config(site, node, &secrets)?;
    kubeadm::run(
        site,
        node,
        Run {
            what: "kubeadm init",
            arguments,
            then: None,
            config,
            api: Some(planned(site, node)?.address),
        },
    )
    .await?;
    fetch_kubeconfig(site, node).await?;
    join_secrets(site, secrets.token, Some(secrets.certificate_key)).await
}

/// Looks again before a cluster is begun: no other control-plane node that answers may have data, unless this one goes on
/// with its own.
pub(super) async fn alone(site: &Site, node: &NodeName) -> Result<(), RecipeError> {
    if kubeadm::has_data(site, node).await? {
        return Ok(());
    }
    let others = site
        .plan
        .control_plane()
        .filter(|other| other.name != *node);
    for other in others {
        if kubeadm::has_data(site, &other.name).await? {
            return Err(RecipeError::Kept {
                node: other.name.clone(),
                why: format!("a new cluster was about to begin on {node}"),
            });
        }
    }
    Ok(())
}

/// Fetches the administrator's kubeconfig; one whose certificate has ended is renewed first.
pub(super) async fn fetch_kubeconfig(site: &Site, node: &NodeName) -> Result<(), RecipeError> {
    let session = session(site, node)?;
    let read = || session.read("/etc/kubernetes/admin.conf");
    let mut text = read().await?;
    if kubernetes::certificate_ended(&text) {
        let run = Run {
            what: "kubeadm certs renew admin.conf",
            arguments: "certs renew admin.conf --config CONFIG",
            then: None,
            config: init_config(site, node, &draw()?)?,
            api: None,
        };
        kubeadm::run(site, node, run).await?;
        text = read().await?;
    }
    let path = site.kubeconfig();
    crate::file::write_whole(&path, &text, 0o600)
        .map_err(|source| RecipeError::File { path, source })
}

/// Mints a bootstrap token and, where certificates are uploaded, a certificate key: for the joins at hand, since both
/// are short-lived.
pub(super) async fn mint(site: &Site) -> Result<JoinSecrets, RecipeError> {
    let member = member(site).await?;
    let created = session(site, &member)?
        .script("kubeadm token create --ttl 30m")
        .run()
        .await?;
    let token = Token::try_from(created.trim().to_owned())
        .map_err(|why| RecipeError::Mismatch(format!("{member}: kubeadm token create: {why}")))?;
    if site.plan.certificates == CertificateMode::Copy {
        return join_secrets(site, token, None).await;
    }
    let secrets = InitSecrets { token, ..draw()? };
    let arguments = "init phase upload-certs --upload-certs --config CONFIG";
    let config = init_config(site, &member, &secrets)?;
    let run = Run {
        what: "kubeadm init phase upload-certs",
        arguments,
        then: None,
        config,
        api: None,
    };
    kubeadm::run(site, &member, run).await?;
    join_secrets(site, secrets.token, Some(secrets.certificate_key)).await
}

/// Joins the node to the cluster, as what it is planned to be.
pub(super) async fn join(
    site: &Site,
    node: &NodeName,
    secrets: &JoinSecrets,
) -> Result<(), RecipeError> {
    let plan = planned(site, node)?;
    let copy = site.plan.certificates == CertificateMode::Copy;
    if plan.role == NodeRole::ControlPlane && copy {
        copy_certificates(site, node).await?;
    }
    let rendered = |text: Result<String, yaml::Error>| {
        text.map_err(|error| RecipeError::Render(Box::new(error)))
    };
    let discovery = NodeFile {
        path: DISCOVERY.into(),
        mode: 0o644,
        content: rendered(discovery(&site.plan, &secrets.ca))?.into_bytes(),
    };
    session(site, node)?.push(&[discovery]).await?;
    let config = rendered(render::kubeadm::join(&site.plan, plan, secrets))?;
    let run = Run {
        what: "kubeadm join",
        arguments: "join --config CONFIG",
        then: None,
        config,
        api: (plan.role == NodeRole::ControlPlane).then_some(plan.address),
    };
    kubeadm::run(site, node, run).await
}

/// kubeadm takes an empty file, or one half of a pair, for a damaged one, and stops. It makes what is missing altogether.
/// `CERTIFICATES` have a key beside them. Prints the files of the static pods that are left.
const CLEAR: &str = "
cd /etc/kubernetes
for file in *.conf manifests/*.yaml /var/lib/kubelet/config.yaml; do [ -s \"$file\" ] || rm -f \"$file\"; done
for crt in CERTIFICATES; do
    key=${crt%.crt}.key
    { [ -s $crt ] && [ -s $key ]; } || rm -f $crt $key
done
[ -s pki/sa.pub ] || openssl pkey -in pki/sa.key -pubout -out pki/sa.pub
ls manifests/*.yaml 2>/dev/null || true
";

/// kubeadm's phase that writes a static pod's file: `etcd`, `control-plane/apiserver`.
fn phase(file: &str) -> String {
    let pod = file
        .trim_start_matches("manifests/")
        .trim_end_matches(".yaml");
    match pod.strip_prefix("kube-") {
        Some(part) => format!("control-plane/{part}"),
        None => pod.to_owned(),
    }
}

/// Makes anew what is missing of kubeadm's around etcd's data: certificates of the keys that are there, kubeconfigs,
/// static pods, kubelet. Each phase takes what is there; none touches the data or the API. A static pod that is there stays
/// as it is: that of a node which joined names its etcd's peers, and another one would have etcd start again.
pub(super) async fn restore(site: &Site, node: &NodeName) -> Result<(), RecipeError> {
    let certificates = DERIVED.into_iter().filter(|file| file.ends_with(".crt"));
    let certificates: Vec<_> = certificates.collect();
    let clear = CLEAR.replace("CERTIFICATES", &certificates.join(" "));
    let left = session(site, node)?.script(clear).run().await?;
    let left = left.lines().filter(|file| STATIC_PODS.contains(file));
    let written: String = left.map(|file| format!(",{}", phase(file))).collect();
    let arguments = format!(
        "init --config CONFIG --skip-phases=\
            preflight,upload-config,upload-certs,mark-control-plane,bootstrap-token,kubelet-finalize,addon,\
            show-join-command,wait-control-plane{written}"
    );
    kubeadm::run(
        site,
        node,
        Run {
            what: "kubeadm init phase",
            arguments: &arguments,
            then: None,
            config: init_config(site, node, &draw()?)?,
            api: None,
        },
    )
    .await?;
    // One that runs has seen the static pods go, and may not see them come: a file is read while it is half written, and
    // the same pod is not begun again.
    membership::start_kubelet(site, node).await
}

/// A kubelet's certificate that has ended cannot be renewed by itself; without its kubeconfig kubeadm makes both anew.
const FORGET_ENDED: &str = "
pem=/var/lib/kubelet/pki/kubelet-client-current.pem
openssl x509 -noout -checkend 0 -in $pem >/dev/null || rm -f /etc/kubernetes/kubelet.conf $pem
";

/// Has kubeadm renew every certificate that it made, with the keys that are there: no API is needed. etcd reads them at every
/// handshake; what else runs as a static pod is killed, and kubelet starts it
/// again: an API server that ends in peace keeps its port for up to a minute, and its successor comes later and later.
pub(super) async fn renew(site: &Site, node: &NodeName) -> Result<(), RecipeError> {
    session(site, node)?.script(FORGET_ENDED).run().await?;
    let run = Run {
        what: "kubeadm certs renew",
        arguments: "certs renew all --config CONFIG",
        then: Some(
            "kubeadm init phase kubeconfig kubelet --config CONFIG; \
            pkill -KILL -x \"kube-(apiserver|controller|scheduler)\"; systemctl restart kubelet",
        ),
        config: init_config(site, node, &draw()?)?,
        api: None,
    };
    kubeadm::run(site, node, run).await
}

/// Has kubeadm make the API server's certificate with every planned name where [`ASIDE`] has the CA, and
/// moves it over the old one.
pub(super) async fn certify(site: &Site, node: &NodeName) -> Result<(), RecipeError> {
    let config = render::kubeadm::aside(&site.plan, planned(site, node)?, &draw()?);
    let moved = format!(
        "cd {ASIDE} && mv -f apiserver.key /etc/kubernetes/pki && \
         mv -f apiserver.crt /etc/kubernetes/pki && rm -rf {ASIDE}"
    );
    let run = Run {
        what: "kubeadm init phase certs apiserver",
        arguments: "init phase certs apiserver --config CONFIG",
        then: Some(&moved),
        config: config.map_err(|error| RecipeError::Render(Box::new(error)))?,
        api: None,
    };
    kubeadm::run(site, node, run).await
}

/// Has kubeadm's own configuration in the API say what the plan says.
pub(super) async fn upload_configuration(site: &Site) -> Result<(), RecipeError> {
    let node = member(site).await?;
    let run = Run {
        what: "kubeadm init phase upload-config",
        arguments: "init phase upload-config kubeadm --config CONFIG",
        then: None,
        config: init_config(site, &node, &draw()?)?,
        api: None,
    };
    kubeadm::run(site, &node, run).await
}

/// Streams the shared certificates and keys from a member to the node, through regent's memory only.
async fn copy_certificates(site: &Site, node: &NodeName) -> Result<(), RecipeError> {
    let from = member(site).await?;
    let source = session(site, &from)?;
    let files = try_join_all(SHARED.iter().map(|name| async move {
        let path = Utf8PathBuf::from("/etc/kubernetes/pki").join(name);
        let content = source.read(path.as_str()).await?;
        let mode = if name.ends_with(".key") { 0o600 } else { 0o644 };
        Ok::<_, RecipeError>(NodeFile {
            path,
            mode,
            content,
        })
    }))
    .await?;
    Ok(session(site, node)?.push(&files).await?)
}

fn draw() -> Result<InitSecrets, RecipeError> {
    let drawn =
        std::fs::File::open("/dev/urandom").and_then(|mut random| InitSecrets::draw(&mut random));
    drawn.map_err(RecipeError::Randomness)
}

fn init_config(site: &Site, node: &NodeName, secrets: &InitSecrets) -> Result<String, RecipeError> {
    let plan = planned(site, node)?;
    render::kubeadm::init(&site.plan, plan, secrets)
        .map_err(|error| RecipeError::Render(Box::new(error)))
}

async fn join_secrets(
    site: &Site,
    token: Token,
    key: Option<CertificateKey>,
) -> Result<JoinSecrets, RecipeError> {
    let ca = authority(site).await?;
    let certificate_key = key.filter(|_| site.plan.certificates == CertificateMode::Upload);
    Ok(JoinSecrets {
        token,
        ca,
        certificate_key,
    })
}
