//! A plan on one screen.

use std::fmt::Write;

use super::{NodeRole, Plan};
use crate::spec::{CertificateMode, Connect, Driver, Endpoint, Tuning};

/// Writes the plan as a table of the nodes and a list of the steps that the recipe foresees.
pub fn summary(plan: &Plan, steps: &[String]) -> String {
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write(plan, steps, &mut text);
    text
}

fn write(plan: &Plan, foreseen: &[String], text: &mut String) -> std::fmt::Result {
    let network = &plan.network;
    let driver = match plan.driver {
        Driver::Qemu => "virtual machines (qemu)",
        Driver::Lxc => "system containers (lxc)",
    };
    let connect = match &plan.connect {
        Connect::Private => "a libvirt of the lab's own",
        Connect::Uri(uri) => uri,
        Connect::Remote(uri) => uri.as_str(),
    };
    let tuning = match plan.tuning {
        Tuning::Fast => "fast",
        Tuning::KubeadmDocs => "kubeadm-docs",
    };
    let certificates = match plan.certificates {
        CertificateMode::Upload => "uploaded, encrypted",
        CertificateMode::Copy => "copied from node to node",
    };
    for (what, is) in [
        ("cluster", plan.cluster.to_string()),
        ("kubernetes", plan.kubernetes.to_string()),
        (
            "endpoint",
            match plan.endpoint {
                Endpoint::LoadBalancer => {
                    format!("{} ({})", plan.endpoint(), plan.endpoint_name())
                }
                Endpoint::None => format!("none: {} is its only API server", plan.endpoint()),
            },
        ),
        ("nodes", format!("{driver} on {connect}")),
        (
            "network",
            format!(
                "{} on {}, gateway {}",
                network.cidr, network.bridge, network.gateway
            ),
        ),
        ("pods", network.pod_subnet.to_string()),
        ("services", network.service_subnet.to_string()),
        ("tuning", tuning.to_owned()),
        ("certificates", certificates.to_owned()),
    ] {
        writeln!(text, "{what:<13} {is}")?;
    }
    writeln!(
        text,
        "\n{:<5} {:<14} {:<15} {:<18} {:<17} {:>8} {:>4}",
        "NODE", "ROLE", "ADDRESS", "PODS", "MAC", "MEMORY", "CPUS"
    )?;
    for node in &plan.nodes {
        let role = match node.role {
            NodeRole::LoadBalancer => "load balancer",
            NodeRole::ControlPlane => "control plane",
            NodeRole::Worker => "worker",
        };
        let pods = node
            .pod_subnet
            .map_or_else(|| "-".to_owned(), |net| net.to_string());
        let memory = format!("{} MiB", node.memory.0 >> 20);
        writeln!(
            text,
            "{:<5} {role:<14} {:<15} {pods:<18} {} {memory:>8} {:>4}",
            node.name,
            node.address.to_string(),
            node.mac,
            node.cpus
        )?;
    }
    writeln!(text, "\nSTEPS")?;
    steps(foreseen, text)?;
    if !plan.manifests.is_empty() {
        writeln!(text, "\nMANIFESTS")?;
        for (name, _) in &plan.manifests {
            writeln!(text, "{name}")?;
        }
    }
    Ok(())
}

/// Writes the steps, numbered.
pub(crate) fn steps(steps: &[String], text: &mut String) -> std::fmt::Result {
    for (i, step) in steps.iter().enumerate() {
        writeln!(text, "{:>3}  {step}", i + 1)?;
    }
    Ok(())
}
