//! Configuration as code: the spec's manifests, applied last.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use camino::Utf8Path;
use serde_json::Value;

use crate::kubernetes::{Kubernetes, KubernetesError};
use crate::name::NodeName;
use crate::node::{Node, NodeFile};
use crate::recipe::lookup::session;
use crate::recipe::{RecipeError, control_plane, fingerprint};
use crate::site::Site;
use crate::yaml;

/// The ConfigMap in `kube-system` that remembers what was applied.
const RECORD: &str = "regent";
const KEY: &str = "manifests";

/// Where they are on a node while they are applied. They may hold secrets.
const DIRECTORY: &str = "/run/regent/manifests";

/// A large set of manifests with custom resources takes several round trips.
const APPLY: Duration = Duration::from_secs(120);

/// How long what a manifest needs may take to be served: a new kind within a second or two, a webhook's pods longer.
const SERVED: Duration = Duration::from_secs(90);

/// Between two tries.
const PAUSE: Duration = Duration::from_secs(1);

/// Returns the fingerprint of the manifests applied last.
pub(super) async fn applied(kubernetes: &Kubernetes) -> Result<Option<String>, KubernetesError> {
    kubernetes.config_value("kube-system", RECORD, KEY).await
}

/// Applies the plan's manifests, file by file in order (server-side, so that a second time changes nothing), and
/// remembers them. A file that needs what another one brings, such as a kind or a namespace, is tried again.
pub(super) async fn apply(site: &Site, kubernetes: &Kubernetes) -> Result<(), RecipeError> {
    let manifests = &site.plan.manifests;
    let member = control_plane::member(site).await?;
    let session = session(site, &member)?;
    let files: Vec<_> = manifests.iter().map(file).collect();
    session.push(&files).await?;
    let result = apply_all(session, &member, manifests).await;
    let removed = session.command(["rm", "-rf", DIRECTORY]).run().await;
    result?;
    removed?;
    let fingerprint = fingerprint::of_manifests(manifests);
    Ok(kubernetes
        .set_config_value("kube-system", RECORD, KEY, &fingerprint)
        .await?)
}

fn file((name, text): &(String, String)) -> NodeFile {
    NodeFile {
        path: Utf8Path::new(DIRECTORY).join(name),
        mode: 0o600,
        content: text.clone().into_bytes(),
    }
}

/// Round by round, until nothing is left that another try could change.
async fn apply_all(
    session: &Node,
    member: &NodeName,
    manifests: &[(String, String)],
) -> Result<(), RecipeError> {
    let begun = Instant::now();
    let mut left: Vec<&str> = manifests.iter().map(|(name, _)| name.as_str()).collect();
    loop {
        let mut refused = Vec::new();
        for name in left {
            if let Err(said) = apply_one(session, name).await? {
                refused.push((name, said));
            }
        }
        if refused.is_empty() {
            return Ok(());
        }
        let brought = namespaces(manifests);
        let hopeless = refused.iter().any(|(_, said)| !may_pass(said, &brought));
        if hopeless || begun.elapsed() > SERVED {
            let mut all = Vec::new();
            for (name, said) in refused {
                all.extend(in_detail(session, manifests, name, said).await?);
            }
            return Err(RecipeError::Manifests {
                node: member.clone(),
                refused: all,
            });
        }
        left = refused.into_iter().map(|(name, _)| name).collect();
        tokio::time::sleep(PAUSE).await;
    }
}

/// Of a file that was refused, each document that is, by itself: `FILE:LINE`, and what was said.
async fn in_detail(
    session: &Node,
    manifests: &[(String, String)],
    name: &str,
    said: String,
) -> Result<Vec<(String, String)>, RecipeError> {
    let text = manifests.iter().find(|(known, _)| known == name);
    let documents = text.and_then(|(_, text)| yaml::documents(text).ok());
    let mut found = Vec::new();
    for document in documents.unwrap_or_default() {
        let part = format!("{}-{name}", document.line);
        let file = file(&(part.clone(), document.text.to_owned()));
        session.push(&[file]).await?;
        if let Err(said) = apply_one(session, &part).await? {
            let said = said.replace(&part, name);
            found.push((format!("{name}:{}", document.line), said));
        }
    }
    // The second time it may have been taken.
    match found.is_empty() {
        true => Ok(vec![(name.to_owned(), said)]),
        false => Ok(found),
    }
}

/// The namespaces that the manifests bring.
fn namespaces(manifests: &[(String, String)]) -> BTreeSet<String> {
    let documents = manifests
        .iter()
        .flat_map(|(_, text)| yaml::documents(text).unwrap_or_default());
    documents
        .flat_map(|document| namespaces_of(&document.value))
        .collect()
}

/// Of an object: itself, or what a `List` holds.
fn namespaces_of(object: &Value) -> Vec<String> {
    if let Some(items) = object["items"].as_array() {
        return items.iter().flat_map(namespaces_of).collect();
    }
    let is_namespace = object["kind"] == "Namespace" && object["apiVersion"] == "v1";
    let name = object["metadata"]["name"].as_str();
    name.filter(|_| is_namespace)
        .map(str::to_owned)
        .into_iter()
        .collect()
}

/// Applies a file; what kubectl said where it did not take all of it.
async fn apply_one(session: &Node, name: &str) -> Result<Result<(), String>, RecipeError> {
    let path = format!("{DIRECTORY}/{name}");
    let applied = session
        .command([
            "kubectl",
            "--kubeconfig=/etc/kubernetes/admin.conf",
            "apply",
            "--server-side",
            "--force-conflicts",
            "--filename",
            &path,
        ])
        .deadline(APPLY)
        .output()
        .await?;
    if applied.status == 0 {
        return Ok(Ok(()));
    }
    let said = String::from_utf8_lossy(&applied.stderr);
    Ok(Err(said.trim().replace(&format!("{DIRECTORY}/"), "")))
}

/// Whether every reason that kubectl gives is one that may pass by itself, or with another file, which may bring one of
/// these namespaces.
fn may_pass(said: &str, brought: &BTreeSet<String>) -> bool {
    /// The words of the API server and of kubectl.
    const PASSING: [&str; 11] = [
        "no matches for kind",
        "ensure CRDs are installed first",
        "the server could not find the requested resource",
        "failed calling webhook",
        "conversion webhook",
        "connection refused",
        "the server is currently unable to handle the request",
        "etcdserver: ",
        "i/o timeout",
        "TLS handshake timeout",
        "Too many requests",
    ];
    let missing_namespace = |line: &str| {
        let name = line.split_once("namespaces \"");
        let name = name.and_then(|(_, rest)| rest.strip_suffix("\" not found"));
        name.is_some_and(|name| brought.contains(name))
    };
    said.lines()
        .filter(|line| !line.trim().is_empty() && !line.starts_with("Warning: "))
        .all(|line| PASSING.iter().any(|passing| line.contains(passing)) || missing_namespace(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn case_crd() {
        let later = "apiVersion: v1\nkind: Namespace\nmetadata: {name: later}\n";
        let brought = namespaces(&[("2.yaml".to_owned(), format!("kind: X\n---\n{later}"))]);
        let no_kind = "error: resource mapping not found for name: \"a\" namespace: \"\" from \"1.yaml\": no matches for kind \"Widget\" in version \"example.com/v1\"\nensure CRDs are installed first";
        let no_namespace = "Error from server (NotFound): error when creating \"1.yaml\": namespaces \"later\" not found";
        for passing in [
            no_kind,
            no_namespace,
            &format!("{no_kind}\n{no_namespace}"),
            &format!("Warning: v1 is deprecated\n{no_namespace}"),
        ] {
            assert!(may_pass(passing, &brought), "{passing}");
        }
        let list = "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Namespace, metadata: {name: later}}\n";
        let listed = namespaces(&[("2.yaml".to_owned(), list.to_owned())]);
        assert!(may_pass(no_namespace, &listed));
        for lasting in [
            "The ConfigMap \"a\" is invalid: metadata.name: Invalid value",
            &format!("{no_kind}\nThe Pod \"b\" is invalid: spec.containers: Required value"),
            "Error from server (NotFound): services \"b\" not found",
            // No file brings it.
            "Error from server (NotFound): namespaces \"nowhere\" not found",
        ] {
            assert!(!may_pass(lasting, &brought), "{lasting}");
        }
    }
}
