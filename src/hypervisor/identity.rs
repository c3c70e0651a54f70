//! Who a node is: the few files that it must have before it first boots. Pure.

use super::NodeMedia;
use crate::node::NodeFile;
use crate::plan::NodePlan;

/// Returns the files that make a root file system this node's: its keys, and what is planned for it, so that it boots
/// with its address and routes and need not be told them first.
pub(super) fn files(node: &NodePlan, media: &NodeMedia) -> Vec<NodeFile> {
    let file = |path: &str, mode, content: String| NodeFile {
        path: path.into(),
        mode,
        content: content.into_bytes(),
    };
    let mut files = vec![
        file("/etc/hostname", 0o644, format!("{}\n", node.name)),
        // Empty: systemd makes one up at the first boot.
        file("/etc/machine-id", 0o444, String::new()),
        file(
            "/etc/ssh/ssh_host_ed25519_key",
            0o600,
            line(&media.host.private),
        ),
        file(
            "/etc/ssh/ssh_host_ed25519_key.pub",
            0o644,
            line(&media.host.public),
        ),
        file("/root/.ssh/authorized_keys", 0o600, line(&media.authorized)),
    ];
    files.extend(
        node.files
            .iter()
            .map(|planned| file(planned.path.as_str(), planned.mode, planned.content.clone())),
    );
    files
}

fn line(text: &str) -> String {
    format!("{}\n", text.trim_end())
}
