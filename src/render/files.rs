//! Every generated file, for a review or a diff.

use camino::{Utf8Path, Utf8PathBuf};

use crate::plan::{self, NodePlan, NodeRole, Plan};
use crate::render::kubeadm::{self, InitSecrets, JoinSecrets};
use crate::render::libvirt::{self, MachineFiles, volume};
use crate::spec::{CertificateMode, Driver};
use crate::xml::XmlError;
use crate::yaml;

/// Why a plan's files could not be written as text.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilesError {
    /// A document of kubeadm's.
    #[error("cannot write a kubeadm document")]
    Kubeadm(#[from] yaml::Error),
    /// A document of libvirt's.
    #[error("cannot write a libvirt document")]
    Libvirt(#[from] XmlError),
}

/// Returns the relative path and text of every file that is generated for the plan, in the order of their paths:
///
/// * `steps.txt`: what the recipe foresees, in an order
/// * `libvirt/network.xml`, `libvirt/<node>.xml`; `LAB` stands for the lab's directory, `STORE` for what was built. A
///   virtual machine's says that the processor runs guests; where it does not, its type and its kernel's arguments differ
/// * `libvirt/pool.xml`, `libvirt/<node>-disk.xml`: what another host keeps
/// * `nodes/<node>/root/…`: what the recipe writes into the node, by its path there
/// * `nodes/<node>/kubeadm-init.yaml`, or `kubeadm-join.yaml` and `discovery.conf`, with placeholders where secrets and the CA will
///   stand
/// * `manifests/…`: the user's own
pub fn files(plan: &Plan, foreseen: &[String]) -> Result<Vec<(Utf8PathBuf, String)>, FilesError> {
    let mut steps = String::new();
    // Writing to a string cannot fail.
    let _ = plan::steps(foreseen, &mut steps);
    let mut files: Vec<(Utf8PathBuf, String)> = vec![
        ("steps.txt".into(), steps),
        (
            "libvirt/network.xml".into(),
            libvirt::network(None, &plan.network)?,
        ),
    ];
    let remote = plan.connect.remote().is_some();
    if remote {
        files.push(("libvirt/pool.xml".into(), volume::pool()?));
    }
    for node in &plan.nodes {
        if remote {
            let name = volume::of_domain(&node.domain, libvirt::DISK);
            // As large as the disk in the store, which is not looked at here.
            let disk = volume::overlay_volume(&name, 6 << 30, &volume::path("STORE-disk"))?;
            files.push((format!("libvirt/{}-disk.xml", node.name).into(), disk));
        }
        let domain = domain(plan, node)?;
        files.push((format!("libvirt/{}.xml", node.name).into(), domain));
        let directory = Utf8PathBuf::from(format!("nodes/{}", node.name));
        for file in &node.files {
            let path = directory.join(format!("root{}", file.path));
            files.push((path, file.content.clone()));
        }
        let kubeadm = kubeadm(plan, node)?.into_iter();
        files.extend(kubeadm.map(|(name, text)| (directory.join(name), text)));
    }
    for (name, text) in &plan.manifests {
        files.push((format!("manifests/{name}").into(), text.clone()));
    }
    files.sort();
    Ok(files)
}

fn domain(plan: &Plan, node: &NodePlan) -> Result<String, XmlError> {
    let directory = Utf8Path::new("LAB/nodes").join(node.name.as_str());
    match plan.driver {
        Driver::Lxc => libvirt::lxc_domain(None, plan, node, &directory),
        Driver::Qemu => {
            let (kernel, initrd, files) = match plan.connect.remote() {
                Some(_) => (
                    volume::path("STORE-kernel"),
                    volume::path("STORE-initrd"),
                    MachineFiles::volumes(&node.domain),
                ),
                None => (
                    "STORE/kernel".into(),
                    "STORE/initrd".into(),
                    MachineFiles::below(&directory),
                ),
            };
            let machine = libvirt::Machine {
                accelerator: libvirt::Accelerator::Kvm,
                kernel: &kernel,
                initrd: &initrd,
                files: &files,
            };
            libvirt::qemu_domain(None, plan, node, &machine)
        }
    }
}

fn kubeadm(plan: &Plan, node: &NodePlan) -> Result<Vec<(&'static str, String)>, yaml::Error> {
    let secrets = InitSecrets::placeholder();
    Ok(match (node.role, node.number) {
        (NodeRole::LoadBalancer, _) => Vec::new(),
        (NodeRole::ControlPlane, 1) => {
            vec![("kubeadm-init.yaml", kubeadm::init(plan, node, &secrets)?)]
        }
        (role, _) => {
            let upload =
                role == NodeRole::ControlPlane && plan.certificates == CertificateMode::Upload;
            let secrets = JoinSecrets {
                token: secrets.token,
                ca: b"the cluster's CA certificate".to_vec(),
                certificate_key: upload.then_some(secrets.certificate_key),
            };
            vec![
                ("kubeadm-join.yaml", kubeadm::join(plan, node, &secrets)?),
                ("discovery.conf", kubeadm::discovery(plan, &secrets.ca)?),
            ]
        }
    })
}
