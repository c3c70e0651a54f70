//! Who a node is: the few files that it must have before it first boots. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::NodeMedia;
use crate::node::NodeFile;
use crate::plan::NodePlan;
use crate::render::libvirt::CREDENTIALS;

/// Where networkd looks, and what it is told by credential: it may run before any file could be written.
const NETWORK: &str = "/etc/systemd/network/10-lab.network";

/// Returns the files that make a root file system this node's: its keys, and what is planned for it, so that it boots
/// with its address and routes and need not be told them first.
pub(super) fn files(node: &NodePlan, media: &NodeMedia) -> Vec<NodeFile> {
    let mut files = vec![
        file("/etc/hostname", 0o644, format!("{}\n", node.name)),
        // Empty: systemd makes one up at the first boot.
        file("/etc/machine-id", 0o444, String::new()),
        file("/root/.ssh/authorized_keys", 0o600, line(&media.authorized)),
    ];
    files.extend(host_key(media));
    files.extend(planned(node));
    files
}

/// Returns the same for a virtual machine, whose disk is made before anybody knows whose it will be: systemd in the
/// guest takes these credentials at each boot. Files are only made where there are none yet, so that what is written
/// to the node later stays.
pub(super) fn credentials(
    node: &NodePlan,
    media: &NodeMedia,
) -> [(&'static str, Vec<u8>); CREDENTIALS.len()] {
    let mut network = Vec::new();
    let mut lines = String::new();
    for file in host_key(media).into_iter().chain(planned(node)) {
        if file.path == NETWORK {
            network = file.content;
            continue;
        }
        // `f`: a file if there is none, with the directories above it; `~`: its content is in Base64.
        let content = BASE64.encode(&file.content);
        lines.push_str(&format!(
            "f~ {} {:04o} root root - {content}\n",
            file.path, file.mode
        ));
    }
    let [name, authorized, link, others] = CREDENTIALS;
    [
        (name, node.name.to_string().into_bytes()),
        (authorized, line(&media.authorized).into_bytes()),
        (link, network),
        (others, lines.into_bytes()),
    ]
}

fn host_key(media: &NodeMedia) -> [NodeFile; 2] {
    let path = "/etc/ssh/ssh_host_ed25519_key";
    [
        file(path, 0o600, line(&media.host.private)),
        file(&format!("{path}.pub"), 0o644, line(&media.host.public)),
    ]
}

fn planned(node: &NodePlan) -> impl Iterator<Item = NodeFile> {
    let planned = node.files.iter();
    planned.map(|planned| file(planned.path.as_str(), planned.mode, planned.content.clone()))
}

fn file(path: &str, mode: u32, content: String) -> NodeFile {
    NodeFile {
        path: path.into(),
        mode,
        content: content.into_bytes(),
    }
}

fn line(text: &str) -> String {
    format!("{}\n", text.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::derive;
    use crate::node::KeyPair;
    use crate::provider::Boot;
    use crate::spec::{ClusterSpec, Driver};

    /// A machine is told what a container finds in its root file system, by other means.
    #[test]
    fn a_machine_is_told_all_that_a_container_finds() {
        let plan = derive::plan(
            &ClusterSpec::new("demo".parse().unwrap()),
            Driver::Qemu,
            derive::Beside::default(),
        );
        let node = plan.control_plane().next().unwrap();
        let media = NodeMedia {
            boot: Boot::Container {
                root: "/root".into(),
                containerd: None,
            },
            host: KeyPair::generate("demo-m1").unwrap(),
            authorized: KeyPair::generate("regent@demo").unwrap().public,
        };
        let credentials = credentials(node, &media);
        let text = |name: &str| {
            let (_, content) = credentials
                .iter()
                .find(|(known, _)| *known == name)
                .unwrap();
            String::from_utf8(content.clone()).unwrap()
        };
        let lines = text("tmpfiles.extra");
        for file in files(node, &media) {
            let content = String::from_utf8(file.content.clone()).unwrap();
            match file.path.as_str() {
                // systemd takes the domain's UUID.
                "/etc/machine-id" => {}
                "/etc/hostname" => assert_eq!(content, format!("{}\n", text("system.hostname"))),
                "/root/.ssh/authorized_keys" => {
                    assert_eq!(content, text("ssh.authorized_keys.root"));
                }
                NETWORK => assert_eq!(content, text("network.network.10-lab")),
                path => {
                    let begin = format!("f~ {path} {:04o} root root - ", file.mode);
                    let line = lines.lines().find(|line| line.starts_with(&begin)).unwrap();
                    let found = BASE64.decode(&line[begin.len()..]).unwrap();
                    assert_eq!(found, file.content, "{path}");
                }
            }
        }
        assert!(text("network.network.10-lab").contains("198.18.0.21/24"));
        // QEMU's firmware configuration device allows 55 characters.
        let longest = CREDENTIALS.iter().map(|name| name.len()).max().unwrap();
        assert!("opt/io.systemd.credentials/".len() + longest <= 55);
    }
}
