//! The load balancer's configuration.

use crate::plan::Plan;
use crate::spec::Tuning;

/// Where the load balancer keeps the cluster's CA certificate. haproxy does not start without it.
pub const CLUSTER_CA: &str = "/etc/haproxy/cluster-ca.crt";

/// haproxy's control socket: `show servers state` and friends.
pub const ADMIN_SOCKET: &str = "/run/haproxy/admin.sock";

/// Writes `haproxy.cfg`. Every control-plane node stands in it from the beginning, so nothing is reloaded while the
/// cluster grows to its planned size, and adding a worker does not touch it.
///
/// The health check is the same in both tunings, so that they differ only in how they react: TLS verified against the
/// cluster's CA, for the node's own name (a certificate of kubeadm's carries it), `GET /readyz`. A TCP check fills the
/// API server's log with handshake errors and passes while etcd is gone; `/healthz`, which kubeadm's guide has, goes
/// on passing while an API server shuts down. A node that is cut off answers neither, so a comparison of the two
/// tunings under a power cut is not touched by this.
pub fn config(plan: &Plan) -> String {
    match plan.tuning {
        Tuning::Fast => fast(plan),
        Tuning::KubeadmDocs => kubeadm_docs(plan),
    }
}

/// The part that both tunings share. haproxy logs to its standard output, which is the journal.
fn global() -> String {
    format!(
        "global
    log stdout format raw daemon
    stats socket {ADMIN_SOCKET} mode 600 level admin
    user haproxy
    group haproxy
    maxconn 4096
"
    )
}

const CHECK: &str = "    option httpchk
    http-check send meth GET uri /readyz ver HTTP/1.1 hdr Host kubernetes
    http-check expect status 200
";

/// regent's settings.
///
/// A node that dies in silence is noticed in three ways, each for another kind of connection:
///
/// * one being opened waits `timeout connect` and goes to another node;
/// * one that is open is closed by the kernel: `tcp-ut` after its data has been unacknowledged for a second,
///   keepalives after a second of idleness. Without that its client hangs until its own timeout, for its peer is
///   haproxy, which lives. `tcp-ut` stands on each server because `default-server` does not hand it on (seen in 3.0.11);
/// * for those to come, the checks take the node out: at most 500 ms, then 3 x 300 ms with 2 x 200 ms between.
///
/// Measured over network namespaces with haproxy 3.0.11, 20 new connections and 60 requests on open ones a second, the
/// link of one node of three cut, five times: at most the one new connection that was in its handshake failed, after
/// 2.1 s or less, the others took 0.3 to 0.4 s; open ones were closed after 1.4 s if busy, 2.1 s or less if idle.
///
/// Not `on-marked-down shutdown-sessions`, which others use for the same end: haproxy 3.0.11 never closes the client's
/// side of a connection that is killed while the one to its server is being opened, and under load there are always
/// some. The price: open connections to a node whose kernel lives while its API server hangs are left to the client
/// (Kubernetes' own gives up after 45 s).
fn fast(plan: &Plan) -> String {
    let global = global();
    let checked = servers(plan, |name| {
        format!(" check-sni {name} verifyhost {name} tcp-ut 1s")
    });
    let unchecked = servers(plan, |_| " tcp-ut 1s".to_owned());
    format!(
        "{global}    # Sessions of a process that a reload replaced end with it, at last.
    hard-stop-after 30s

defaults
    mode tcp
    log global
    option tcplog
    option dontlog-normal
    option log-health-checks
    # A node that lives accepts at once, also on a busy machine: its kernel does it. Until a dead one is marked down,
    # each unlucky connection waits this long and is then sent to another.
    timeout connect 300ms
    retries 2
    option redispatch 1
    # With tcp-ut below: an idle connection to a silent node ends after one to two seconds.
    option srvtcpka
    srvtcpka-idle 1s
    srvtcpka-intvl 1s
    srvtcpka-cnt 2
    # Shorter ones cut idle watches and `kubectl exec`.
    timeout client 1h
    timeout server 1h
    timeout queue 1s
    # For the answer to a check. A busy machine stalls for a second and more, and an etcd election holds /readyz as
    # long; to take either for a death would make the outage that the check is there to prevent.
    timeout check 2s

frontend kubernetes
    bind :6443
    use_backend unchecked if {{ nbsrv(control-plane) lt 1 }}
    default_backend control-plane

backend control-plane
    balance roundrobin
{CHECK}    default-server check check-ssl check-alpn http/1.1 verify required ca-file {CLUSTER_CA} inter 500ms fastinter 200ms downinter 500ms fall 3 rise 2
{checked}
# When no node is ready: an API server without quorum still answers cached reads, and errors come at once.
backend unchecked
    balance roundrobin
{unchecked}"
    )
}

/// The sample of kubeadm's high availability guide (`ha-considerations.md` in kubernetes/kubeadm): its timers and
/// retries, haproxy's own defaults where it has none (a check every 2 s, down after 3), and nothing that ends open connections.
/// Its HTTP timeouts are left out, they mean nothing in TCP mode.
fn kubeadm_docs(plan: &Plan) -> String {
    let global = global();
    let checked = servers(plan, |name| format!(" check-sni {name} verifyhost {name}"));
    format!(
        "{global}
defaults
    mode tcp
    log global
    option tcplog
    option dontlognull
    option log-health-checks
    option redispatch
    retries 1
    timeout queue 20s
    timeout connect 5s
    timeout client 35s
    timeout server 35s
    timeout check 10s

frontend kubernetes
    bind :6443
    default_backend control-plane

backend control-plane
    balance roundrobin
{CHECK}    default-server check check-ssl check-alpn http/1.1 verify required ca-file {CLUSTER_CA}
{checked}"
    )
}

fn servers(plan: &Plan, options: impl Fn(&str) -> String) -> String {
    plan.control_plane()
        .map(|node| {
            let options = options(node.name.as_str());
            format!("    server {} {}:6443{options}\n", node.name, node.address)
        })
        .collect()
}
