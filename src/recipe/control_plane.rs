//! Control-plane nodes: the certificate authority, the first one, the further ones.

use std::time::Duration;

use camino::Utf8PathBuf;
use futures::future::try_join_all;
use sha2::{Digest, Sha256};

use crate::name::NodeName;
use crate::node::NodeFile;
use crate::plan::NodeRole;
use crate::recipe::kubeadm::{self, Run, Success};
use crate::recipe::lookup::{planned, session};
use crate::recipe::{RecipeError, etcd};
use crate::render;
use crate::render::kubeadm::{CertificateKey, InitSecrets, JoinSecrets, Token};
use crate::site::Site;
use crate::spec::CertificateMode;

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
    let mut last = None;
    for node in site.plan.control_plane() {
        let asked = session(site, &node.name)?
            .script("test -e /var/lib/regent/member")
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

/// Returns the node that has the cluster's CA certificate (a member if there is one), and the certificate (PEM).
pub(super) async fn authority(site: &Site) -> Result<(NodeName, Vec<u8>), RecipeError> {
    if let Ok(member) = member(site).await {
        let ca = session(site, &member)?.read(CA).await?;
        return Ok((member, ca));
    }
    for node in site.plan.control_plane() {
        if let Ok(ca) = session(site, &node.name)?.read(CA).await {
            return Ok((node.name.clone(), ca));
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
            config,
            success: Success::Prepared,
        },
    )
    .await
}

/// Makes the node the first of the cluster; returns what others need to join.
pub(super) async fn init(site: &Site, node: &NodeName) -> Result<JoinSecrets, RecipeError> {
    let secrets = draw()?;
    let arguments = match site.plan.certificates {
        CertificateMode::Upload => "init --config CONFIG --upload-certs",
        CertificateMode::Copy => "init --config CONFIG",
    };
    let config = init_config(site, node, &secrets)?;
    kubeadm::run(
        site,
        node,
        Run {
            what: "kubeadm init",
            arguments,
            config,
            success: Success::Member {
                api: Some(planned(site, node)?.address),
            },
        },
    )
    .await?;
    fetch_kubeconfig(site, node).await?;
    join_secrets(site, secrets.token, Some(secrets.certificate_key)).await
}

/// Fetches the administrator's kubeconfig.
pub(super) async fn fetch_kubeconfig(site: &Site, node: &NodeName) -> Result<(), RecipeError> {
    let text = session(site, node)?
        .read("/etc/kubernetes/admin.conf")
        .await?;
    let path = site.kubeconfig();
    crate::lab::write_private(&path, &text).map_err(|source| RecipeError::File { path, source })
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
        config,
        success: Success::Prepared,
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
    let config = render::kubeadm::join(&site.plan, plan, secrets)
        .map_err(|error| RecipeError::Render(Box::new(error)))?;
    let run = Run {
        what: "kubeadm join",
        arguments: "join --config CONFIG",
        config,
        success: Success::Member {
            api: (plan.role == NodeRole::ControlPlane).then_some(plan.address),
        },
    };
    kubeadm::run(site, node, run).await
}

/// Clears away an unfinished `init` or `join`, and the etcd member that it may have announced: a member that never
/// starts blocks every later join.
pub(super) async fn reset(site: &Site, node: &NodeName) -> Result<(), RecipeError> {
    kubeadm::reset(site, node).await?;
    let plan = planned(site, node)?;
    match member(site).await {
        Ok(member) if plan.role == NodeRole::ControlPlane => {
            etcd::forget(site, &member, plan).await
        }
        _ => Ok(()),
    }
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
    let (node, ca) = authority(site).await?;
    let ca_hash = public_key_hash(&ca).map_err(|why| RecipeError::Authority { node, why })?;
    let certificate_key = key.filter(|_| site.plan.certificates == CertificateMode::Upload);
    Ok(JoinSecrets {
        token,
        ca_hash,
        certificate_key,
    })
}

/// The pin of RFC 7469 that kubeadm's discovery checks: SHA-256 of the certificate's SubjectPublicKeyInfo.
fn public_key_hash(pem: &[u8]) -> Result<String, String> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem).map_err(|error| error.to_string())?;
    let certificate = pem.parse_x509().map_err(|error| error.to_string())?;
    let hash = Sha256::digest(certificate.tbs_certificate.subject_pki.raw);
    Ok(format!(
        "sha256:{}",
        hash.iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    ))
}
