//! The load balancer: haproxy with the cluster's CA, so that its health checks know a real API server.

use camino::Utf8PathBuf;

use crate::name::NodeName;
use crate::node::NodeFile;
use crate::recipe::lookup::session;
use crate::recipe::{RecipeError, control_plane};
use crate::site::Site;

/// Checks the configuration before it replaces a running one, and remembers what haproxy was started with: `/run`
/// forgets that with the next boot, as haproxy does.
const RELOAD: &str = r"
haproxy -c -q -f /etc/haproxy/haproxy.cfg
systemctl enable --quiet haproxy
systemctl reload-or-restart haproxy
mkdir -p /run/regent
sha256sum /etc/haproxy/haproxy.cfg /etc/haproxy/cluster-ca.crt > /run/regent/haproxy.sums
";

/// Gives the load balancer the cluster's CA and (re)loads haproxy.
pub(super) async fn balance(site: &Site, name: &NodeName) -> Result<(), RecipeError> {
    let (_, ca) = control_plane::authority(site).await?;
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
