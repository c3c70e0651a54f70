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

/// regent's settings. With them the silent loss of the node that leads etcd cost new connections 1.7 s and reused
/// ones nothing.
fn fast(plan: &Plan) -> String {
    let global = global();
    let checked = servers(plan, |name| format!(" check-sni {name} verifyhost {name}"));
    let unchecked = servers(plan, |_| String::new());
    format!(
        "{global}    # Sessions of a process that a reload replaced are checked by nobody.
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
{CHECK}    # Down after three failed checks: at most 500 ms, then 3 x 300 ms with 2 x 200 ms between them, 1.8 s.
    # Without shutdown-sessions, clients of a silent node hang until their own timeouts: their peer is this haproxy.
    default-server check check-ssl check-alpn http/1.1 verify required ca-file {CLUSTER_CA} inter 500ms fastinter 200ms downinter 500ms fall 3 rise 2 on-marked-down shutdown-sessions
{checked}
# When no node is ready: an API server without quorum still answers cached reads, and errors come at once.
backend unchecked
    balance roundrobin
{unchecked}"
    )
}

/// The sample of kubeadm's high availability guide (`ha-considerations.md` in kubernetes/kubeadm): its timers and
/// retries, haproxy's own defaults where it has none (a check every 2 s, down after 3), and no shutdown of sessions.
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
