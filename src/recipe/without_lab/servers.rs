//! etcd's members and the API, over TLS as they are asked, with what the nodes' disks and the shared directory say.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use camino::Utf8Path;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use jiff::civil::date;
use jiff::{Timestamp, ToSpan as _, Zoned};
use rcgen::SanType;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;
use tokio_util::task::AbortOnDropHandle;

use super::truth::{Member, Truth};
use crate::kubernetes::authority::Authority;
use crate::name::NodeName;
use crate::plan::Plan;
use crate::render::kubeadm::sans;

/// Writes what kubeadm would make: one authority, one certificate that everybody shows. Returns what servers show.
pub(super) fn certificates(plan: &Plan, shared: &Utf8Path) -> TlsAcceptor {
    let authority = Authority::new();
    let addresses = plan.nodes.iter().map(|node| node.address);
    let mut names: Vec<_> = addresses.map(|at| SanType::IpAddress(at.into())).collect();
    let plain = authority.leaf(names.clone(), None);
    for name in sans(plan) {
        names.push(SanType::DnsName(name.try_into().unwrap()));
    }
    let ended = authority.leaf(names.clone(), Some(date(2020, 1, 1)));
    let soon = Zoned::now().date().saturating_add(10.days());
    let ending = authority.leaf(names.clone(), Some(soon));
    let leaf = authority.leaf(names, None);

    let pki = shared.join("pki");
    fs::create_dir_all(pki.join("etcd")).unwrap();
    let write = |name: &str, text: &str| fs::write(pki.join(name), text).unwrap();
    for name in ["ca", "front-proxy-ca", "etcd/ca"] {
        write(&format!("{name}.crt"), &authority.pem());
        write(&format!("{name}.key"), "key");
    }
    for name in crate::recipe::world::DERIVED {
        let name = name.trim_start_matches("pki/");
        match name.ends_with(".crt") {
            true => write(name, &leaf.certificate.pem()),
            false => write(name, &leaf.key.serialize_pem()),
        }
    }
    write("sa.key", "key");
    fs::write(shared.join("ended.crt"), ended.certificate.pem()).unwrap();
    fs::write(shared.join("ending.crt"), ending.certificate.pem()).unwrap();
    // As without a control plane endpoint.
    fs::write(shared.join("plain.crt"), plain.certificate.pem()).unwrap();
    let kubeconfig = authority.kubeconfig(&plan.endpoint().to_string(), &leaf);
    fs::write(shared.join("admin.conf"), kubeconfig).unwrap();
    authority.acceptor(&leaf, false)
}

/// Whose voice a server is.
#[derive(Debug, Clone)]
pub(super) enum Voice {
    /// Through the load balancer.
    Balanced,
    /// One API server by itself.
    Api(NodeName),
    Etcd(NodeName),
}

/// Answers at an address, as long as there is somebody to answer.
pub(super) fn serve(
    (address, port): (Ipv4Addr, u16),
    voice: Voice,
    acceptor: TlsAcceptor,
    truth: Arc<Truth>,
) -> AbortOnDropHandle<()> {
    let listener = std::net::TcpListener::bind(SocketAddr::from((address, port))).unwrap();
    listener.set_nonblocking(true).unwrap();
    let listener = TcpListener::from_std(listener).unwrap();
    AbortOnDropHandle::new(tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (acceptor, voice, truth) = (acceptor.clone(), voice.clone(), Arc::clone(&truth));
            tokio::spawn(async move {
                let Ok(tls) = acceptor.accept(tcp).await else {
                    return;
                };
                let service = service_fn(|request| answer(request, &voice, &truth));
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(tls), service)
                    .await;
            });
        }
    }))
}

async fn answer(
    request: Request<Incoming>,
    voice: &Voice,
    truth: &Truth,
) -> io::Result<Response<Full<Bytes>>> {
    let (method, uri) = (request.method().clone(), request.uri().clone());
    let sent = request.into_body().collect().await.unwrap().to_bytes();
    let sent: Value = serde_json::from_slice(&sent).unwrap_or_default();
    let (code, said) = match voice {
        Voice::Etcd(node) => etcd(truth, node, uri.path(), &sent),
        // A load balancer without a server ends the connection.
        Voice::Balanced if !truth.ask_balanced() => {
            return Err(io::Error::other("no server is there"));
        }
        Voice::Api(node) if !truth.ask_api(node) => {
            return Err(io::Error::other("it is not there"));
        }
        Voice::Balanced | Voice::Api(_) if uri.path() == "/readyz" => (200, Value::Null),
        Voice::Balanced | Voice::Api(_) => {
            api(truth, &method, uri.path(), uri.query().unwrap_or(""), sent)
        }
    };
    let text = match &said {
        Value::Null => "ok".to_owned(),
        said => said.to_string(),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = code.try_into().unwrap();
    Ok(response)
}

fn etcd(truth: &Truth, node: &NodeName, path: &str, sent: &Value) -> (u16, Value) {
    let members = truth.members();
    let Some(own) = truth.ask_etcd(node) else {
        return (503, json!({ "message": "no etcd runs here" }));
    };
    let header = json!({ "cluster_id": truth.cluster(), "member_id": own.id, "revision": "7" });
    let quorum = truth.quorum();
    match path {
        "/v3/maintenance/status" => {
            let leader = if quorum {
                members[0].id.clone()
            } else {
                "0".to_owned()
            };
            let status = json!({
                "header": header, "version": "3.6.6", "leader": leader, "raftIndex": "9", "raftTerm": "2",
                "isLearner": own.learner,
            });
            (200, status)
        }
        "/v3/cluster/member/list" if quorum || sent["linearizable"] == false => {
            let listed = |member: Member| json!({ "ID": member.id, "name": member.node, "peerURLs": [member.peer], "isLearner": member.learner });
            let members: Vec<_> = members.into_iter().map(listed).collect();
            (200, json!({ "header": header, "members": members }))
        }
        "/v3/cluster/member/remove" if quorum => {
            truth.remove_member(sent["ID"].as_str().unwrap());
            (200, json!({ "header": header }))
        }
        _ => (503, json!({ "message": "etcdserver: no leader" })),
    }
}

fn api(truth: &Truth, method: &Method, path: &str, query: &str, sent: Value) -> (u16, Value) {
    if *method == Method::PATCH {
        return (200, truth.patch(path, sent));
    }
    let list = |items: Vec<Value>| (200, json!({ "metadata": {}, "items": items }));
    let made = |by: &str| match truth.shared(by) {
        true => (200, truth.object(path)),
        false => (
            404,
            json!({ "kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound", "message": path }),
        ),
    };
    // What kubeadm wrote, until it is patched.
    let named = |by: &str, key: &str| {
        let mut answer = made(by);
        if answer.1["data"][key].is_null() && answer.0 == 200 {
            answer.1["data"] = json!({ key: truth.read_shared(by) });
        }
        answer
    };
    let name = path.rsplit('/').next().unwrap_or_default();
    match name {
        "nodes" => list(
            truth
                .nodes()
                .iter()
                .map(|node| api_node(truth, node))
                .collect(),
        ),
        "leases" => {
            let now = Timestamp::now().to_string();
            let lease = |node: &NodeName| json!({ "metadata": { "name": node }, "spec": { "renewTime": now, "leaseDurationSeconds": 40 } });
            list(truth.ask_leases().iter().map(lease).collect())
        }
        "eviction" => {
            let node = path.rsplit('/').nth(1).unwrap().trim_start_matches("app-");
            match truth.evict(node) {
                true => (201, json!({ "kind": "Status", "status": "Success" })),
                false => (
                    429,
                    json!({ "kind": "Status", "status": "Failure", "code": 429, "reason": "TooManyRequests", "message": "Cannot evict pod as it would violate the pod's disruption budget." }),
                ),
            }
        }
        "pods" if path == "/api/v1/pods" => {
            let node = query.rsplit("%3D").next().unwrap_or_default();
            let owner = json!({ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "app", "uid": "1", "controller": true });
            let pod = json!({ "metadata": { "name": format!("app-{node}"), "namespace": "default", "ownerReferences": [owner] } });
            list(vec![pod; truth.pods(node)])
        }
        "pods" => {
            let kind = if query.contains("kube-proxy") {
                "proxy"
            } else {
                "dns"
            };
            list(
                truth
                    .nodes()
                    .iter()
                    .map(|node| api_pod(truth, node, kind))
                    .collect(),
            )
        }
        "kubeadm-config" => named("config", "ClusterConfiguration"),
        "cluster-info" => named("server", "kubeconfig"),
        "kube-proxy" if path.contains("/configmaps/") => named("server", "kubeconfig.conf"),
        "kubelet-config" => made("config"),
        "coredns" if path.contains("/deployments/") && truth.shared("addons") => {
            let mut deployment = truth.object(path);
            let ready = truth
                .nodes()
                .iter()
                .filter(|node| truth.kubelet_lives(node))
                .count();
            deployment["metadata"] = json!({ "name": name, "generation": 1 });
            deployment["spec"]["selector"] = json!({});
            deployment["spec"]["template"] = json!({});
            deployment["status"] = json!({ "observedGeneration": 1, "updatedReplicas": ready, "availableReplicas": ready });
            (200, deployment)
        }
        "coredns" | "kube-proxy" => made("addons"),
        "regent" => (200, truth.object(path)),
        _ if *method == Method::DELETE => {
            truth.delete_node(name);
            (200, json!({ "kind": "Status", "status": "Success" }))
        }
        _ => made("nothing"),
    }
}

fn api_node(truth: &Truth, node: &NodeName) -> Value {
    let mut object = truth.object(&format!("/api/v1/nodes/{node}"));
    let labels = match truth.is_marked(node) {
        true => json!({ "node-role.kubernetes.io/control-plane": "" }),
        false => json!({}),
    };
    let ready = if truth.kubelet_lives(node) {
        "True"
    } else {
        "Unknown"
    };
    object["metadata"]["name"] = json!(node);
    object["metadata"]["labels"] = labels;
    object["status"] =
        json!({ "conditions": [{ "type": "Ready", "status": ready, "lastTransitionTime": null }] });
    object
}

fn api_pod(truth: &Truth, node: &NodeName, kind: &str) -> Value {
    let lives = truth.kubelet_lives(node);
    let name = format!("{kind}-{node}");
    json!({
        "metadata": { "name": name, "uid": name },
        "spec": { "nodeName": node, "containers": [] },
        "status": {
            "conditions": [{ "type": "Ready", "status": if lives { "True" } else { "False" } }],
            "containerStatuses": [{
                "name": kind, "image": "", "imageID": "", "ready": lives, "restartCount": 0,
                "containerID": format!("containerd://{name}"), "state": { "running": {} },
            }],
        },
    })
}
