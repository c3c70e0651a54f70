//! Backups: the script that makes one on a control-plane node, and the timer that runs it.

use crate::name::ClusterName;
use crate::plan::BackupPlan;

/// Where the script, its unit and its timer are on a control-plane node.
pub const FILES: [&str; 3] = [
    "/etc/regent/backup",
    "/etc/systemd/system/regent-backup.service",
    "/etc/systemd/system/regent-backup.timer",
];

/// The timer's unit.
pub const TIMER: &str = "regent-backup.timer";

/// What a backup says of itself, within it.
pub const ABOUT: &str = "about.json";

/// etcd's snapshot in it.
pub const SNAPSHOT: &str = "etcd.db";

/// `/etc/kubernetes` in it, as a tar file.
pub const FILES_OF_KUBEADM: &str = "kubernetes.tar";

/// The lab's record in it, where regent asked for it.
pub const RECORD: &str = "record.json";

/// SHA-256 of everything else in it, as `sha256sum` writes it.
pub const SUMS: &str = "SHA256SUMS";

/// Writes the script. Without an argument it makes a backup where etcd leads, and nothing elsewhere: with one timer on every
/// control-plane node there is one backup at a time, and whoever leads next makes the next. With `now` it makes one in any case,
/// and with the lab's record on its standard input.
///
/// One at a time: who is asked while the timer's is made waits.
///
/// A backup is a tar file encrypted with age: what it says of itself, etcd's snapshot, `/etc/kubernetes`, and the hashes of
/// all of it. The snapshot is read again before it is taken for one (`etcdutl snapshot status`), the file is synced before it
/// has its name, and what is not encrypted yet is root's alone and gone at the end. Its last line says what was made.
pub fn script(cluster: &ClusterName, plan: &BackupPlan) -> String {
    let BackupPlan {
        recipient,
        keep,
        to,
        ..
    } = plan;
    format!(
        r#"#!/bin/sh
# Written by regent: `backup` in cluster.yaml.
set -eu
umask 077
cluster={cluster}
recipient={recipient}
to={to}
keep={keep}
pki=/etc/kubernetes/pki/etcd
etcd() {{
    etcdctl --endpoints https://127.0.0.1:2379 --cacert $pki/ca.crt --cert $pki/healthcheck-client.crt \
        --key $pki/healthcheck-client.key "$@"
}}
number() {{ sed -n "s/.*\"$1\":\([0-9]*\).*/\1/p"; }}

status=$(etcd endpoint status -w json)
if [ "${{1:-}}" != now ] && [ "$(echo "$status" | number member_id)" != "$(echo "$status" | number leader)" ]; then
    echo "etcd leads elsewhere"
    exit 0
fi
mkdir -p /run/regent "$to"
exec 9>/run/regent/backup.lock
flock 9
# What one left that was cut off.
rm -rf /var/lib/regent/backup.?????? "$to/.$cluster"-*.age
work=$(mktemp -d /var/lib/regent/backup.XXXXXX)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' HUP INT TERM
cd "$work"
[ "${{1:-}}" != now ] || cat >{RECORD}
etcd snapshot save {SNAPSHOT} >log 2>&1 || {{ cat log >&2; exit 1; }}
rm -f log
etcdutl snapshot status {SNAPSHOT} -w json >status.json
revision=$(number revision <status.json)
tar -C /etc -cf {FILES_OF_KUBEADM} kubernetes
at=$(date -u +%Y%m%dT%H%M%SZ)
ca=$(sha256sum /etc/kubernetes/pki/ca.crt | cut -d ' ' -f 1)
cat >{ABOUT} <<ABOUT
{{"version":1,"cluster":"$cluster","node":"$(hostname)","at":"$at","kubernetes":"$(kubeadm version -o short)","revision":$revision,"ca":"$ca"}}
ABOUT
rm -f status.json
sha256sum * >{SUMS}
name=$cluster-$at.age
tar --remove-files -cf backup.tar {ABOUT} {SUMS} $(ls | grep -v -e {ABOUT} -e {SUMS})
age -r $recipient -o "$to/.$name" backup.tar
sync "$to/.$name"
mv "$to/.$name" "$to/$name"
sync "$to"
# The oldest go.
ls -1 "$to" | grep "^$cluster-[0-9TZ]*\.age$" | sort -r | tail -n +$((keep + 1)) | while read -r old; do rm -f "$to/$old"; done
echo "{{\"path\":\"$to/$name\",\"sha256\":\"$(sha256sum "$to/$name" | cut -d ' ' -f 1)\",\"revision\":$revision}}"
"#
    )
}

/// Writes the unit that runs the script.
pub fn service() -> String {
    format!(
        "[Unit]
Description=Backup of etcd and of the cluster's keys
After=containerd.service

[Service]
Type=oneshot
ExecStart={}
Nice=10
IOSchedulingClass=idle
",
        FILES[0]
    )
}

/// Writes the timer. It first runs a minute after the node has it or has booted, so that it shows soon whether a backup can be made,
/// and a node that is often off makes them too.
pub fn timer(plan: &BackupPlan) -> String {
    let seconds = plan.every.duration().as_secs();
    format!(
        "[Unit]
Description=Backups of etcd and of the cluster's keys

[Timer]
OnActiveSec=60s
OnUnitActiveSec={seconds}s
AccuracySec=1s

[Install]
WantedBy=timers.target
"
    )
}
