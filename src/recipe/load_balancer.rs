//! The load balancer: haproxy with the cluster's CA, so that its health checks know a real API server.

use std::collections::BTreeSet;
use std::time::Duration;

use camino::Utf8PathBuf;

use crate::name::NodeName;
use crate::node::NodeFile;
use crate::recipe::lookup::session;
use crate::recipe::{RecipeError, control_plane, health};
use crate::site::Site;

/// Checks the configuration before it replaces a running one, takes the port from listeners that a killed `up` has left, and remembers what haproxy was started with: files that are
/// still the same are what it runs with, also after a boot.
const RELOAD: &str = r"
haproxy -c -q -f /etc/haproxy/haproxy.cfg
systemctl stop 'regent-listen-*.service' 2>/dev/null || true
systemctl enable --quiet haproxy
systemctl reload-or-restart haproxy
mkdir -p /var/lib/regent
sha256sum /etc/haproxy/haproxy.cfg /etc/haproxy/cluster-ca.crt > /var/lib/regent/haproxy.sums
";

/// haproxy answers on its socket in milliseconds.
const HAPROXY: Duration = Duration::from_secs(10);

/// haproxy sees a server come up within 2 s.
pub(super) const NOTICED: Duration = Duration::from_secs(10);

/// Returns the servers whose health checks hold, as the load balancer on `node` sees them.
pub async fn servers_up(site: &Site, node: &NodeName) -> Result<BTreeSet<NodeName>, RecipeError> {
    let script = "echo 'show stat -1 4 -1' | socat -t5 - UNIX-CONNECT:/run/haproxy/admin.sock";
    let text = session(site, node)?
        .script(script)
        .deadline(HAPROXY)
        .run()
        .await?;
    Ok(health::servers(&text))
}

/// Gives the load balancer the cluster's CA and (re)loads haproxy.
pub(super) async fn balance(site: &Site, name: &NodeName) -> Result<(), RecipeError> {
    let ca = control_plane::authority(site).await?;
    let session = session(site, name)?;
    let path = Utf8PathBuf::from("/etc/haproxy/cluster-ca.crt");
    session
        .push(&[NodeFile {
            path,
            mode: 0o644,
            content: ca,
        }])
        .await?;
    session.script(RELOAD).run().await?;
    Ok(())
}
