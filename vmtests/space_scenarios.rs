//! etcd's database is full.

use crate::cluster::Seen;
use crate::program::Program;
use crate::scenarios::expect;

/// What `kubectl` exits with when the API refuses.
const REFUSED: i32 = 1;

/// Raises the alarm that etcd raises when its quota is used up: from then on it takes no write.
const RAISE: &str = r#"
cd /etc/kubernetes/pki/etcd
ask() { curl -sS --fail --cacert ca.crt --cert healthcheck-client.crt --key healthcheck-client.key "https://127.0.0.1:2379/v3/maintenance/$1" -d "$2"; }
member=$(ask status '{}' | sed 's/.*"member_id":"\([0-9]*\)".*/\1/')
ask alarm '{"action": "ACTIVATE", "alarm": "NOSPACE", "memberID": "'"$member"'"}'
"#;

/// Nothing can be written any more; `status` names the alarm, and one command ends it, which clients do not notice.
pub fn etcd_is_out_of_space(program: &Program) -> Seen {
    program.is_as_planned()?;
    program.says(&["ssh", "m1", RAISE])?;
    let store = [
        "kubectl",
        "create",
        "configmap",
        "full",
        "--request-timeout=5s",
    ];
    let refused = program.refuses(&store, REFUSED)?;
    expect(refused.contains("database space exceeded"), refused)?;
    let status = program.says(&["status"])?;
    expect(
        status.contains("NOSPACE"),
        format!("status names it: {status}"),
    )?;
    let said = program.says(&["etcd", "defrag"])?;
    expect(said.contains("1 alarm ended"), said)?;
    program.says(&store)?;
    program.says(&["kubectl", "delete", "configmap", "full"])?;
    program.is_healthy()?;
    let verdict = program.passes_during(&program.file()?, "@regent etcd defrag")?;
    let outage = verdict["probes"]["write"]["outage_ms"]
        .as_f64()
        .unwrap_or_default()
        / 1e3;
    program.is_as_planned()?;
    Ok(format!(
        "writes again after the alarm; under load no write for {outage:.2} s"
    ))
}
