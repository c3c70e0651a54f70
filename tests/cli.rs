//! The program from the outside: exit codes, and what goes where. Needs neither root nor a lab.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;

/// regent in an empty environment and an empty directory.
fn regent(directory: &Path, args: &[&str]) -> Output {
    Command::cargo_bin("regent")
        .unwrap()
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .env("REGENT_STATE", directory.join("state"))
        .env("REGENT_STORE", directory.join("store"))
        .current_dir(directory)
        .args(args)
        .output()
        .unwrap()
}

fn scratch() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn stdout(output: &Output) -> &str {
    str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    str::from_utf8(&output.stderr).unwrap()
}

#[test]
fn init_then_plan() {
    let scratch = scratch();
    let init = regent(scratch.path(), &["init"]);
    assert_eq!(code(&init), 0, "{}", stderr(&init));
    let plan = regent(scratch.path(), &["plan"]);
    assert_eq!(code(&plan), 0, "{}", stderr(&plan));
    assert!(stdout(&plan).contains("kubeadm init"));
    assert_eq!(stderr(&plan), "");
}

#[test]
fn init_overwrites_only_when_told_to() {
    let scratch = scratch();
    let file = scratch.path().join("cluster.yaml");
    fs::write(&file, "mine").unwrap();
    let refused = regent(scratch.path(), &["init"]);
    assert_eq!(code(&refused), 2);
    assert!(stderr(&refused).contains("hint: `--force`"));
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    assert_eq!(code(&regent(scratch.path(), &["init", "--force"])), 0);
    assert_ne!(fs::read_to_string(&file).unwrap(), "mine");
}

#[test]
fn plan_writes_every_file() {
    let scratch = scratch();
    regent(scratch.path(), &["init"]);
    let plan = regent(scratch.path(), &["plan", "--out", "out", "--json"]);
    assert_eq!(code(&plan), 0, "{}", stderr(&plan));
    let said: serde_json::Value = serde_json::from_str(stdout(&plan)).unwrap();
    assert!(said["wrote"].as_u64().unwrap() > 10);
    assert!(scratch.path().join("out/steps.txt").exists());
    assert!(
        scratch
            .path()
            .join("out/nodes/m1/kubeadm-init.yaml")
            .exists()
    );
}

#[test]
fn a_wrong_file_is_usage_with_every_mistake() {
    let scratch = scratch();
    let file = scratch.path().join("cluster.yaml");
    fs::write(&file, "apiVersion: regent/v1\nname: Demo\nmemry: 1\n").unwrap();
    for command in ["plan", "up", "down", "status", "verify", "kubeconfig"] {
        let output = regent(scratch.path(), &[command]);
        assert_eq!(code(&output), 2, "{command}");
        assert!(stderr(&output).contains("cluster.yaml:2:7"), "{command}");
        assert!(stderr(&output).contains("cluster.yaml:3:1"), "{command}");
    }
    assert!(
        !scratch.path().join("state").exists(),
        "nothing may be touched"
    );
}

#[test]
fn an_absent_file_names_the_way_to_one() {
    let scratch = scratch();
    let output = regent(scratch.path(), &["plan"]);
    assert_eq!(code(&output), 2);
    assert!(stderr(&output).contains("regent -f cluster.yaml init"));
}

#[test]
fn json_errors_are_one_object_on_standard_error() {
    let scratch = scratch();
    for args in [["plan", "--json"], ["frobnicate", "--json"]] {
        let output = regent(scratch.path(), &args);
        assert_eq!(code(&output), 2);
        assert_eq!(stdout(&output), "");
        let error: serde_json::Value = serde_json::from_str(stderr(&output)).unwrap();
        assert_eq!(error["exitCode"], 2);
        assert_eq!(error["kind"], "usage");
    }
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let scratch = scratch();
    let status = std::process::Command::new("sh")
        .arg("-c")
        // Far more than a pipe holds, to a reader that takes nothing.
        .arg("for _ in 1 2 3 4 5 6 7 8; do \"$1\" completions bash || echo \"$?\" >&2; done | true")
        .args(["sh", env!("CARGO_BIN_EXE_regent")])
        .current_dir(scratch.path())
        .output()
        .unwrap();
    assert_eq!(stderr(&status), "");
}

#[test]
fn without_a_lab_the_way_to_one_is_named() {
    let scratch = scratch();
    regent(scratch.path(), &["init"]);
    for args in [
        &["status"][..],
        &["exec", "--", "true"],
        &["kubectl", "get", "nodes"],
        &["ssh", "m1"],
        &["logs", "m1"],
        &["node", "cut", "m1"],
        &["verify"],
    ] {
        let output = regent(scratch.path(), args);
        assert_eq!(code(&output), 4, "{args:?}: {}", stderr(&output));
        assert!(
            stderr(&output).contains("no lab `demo` is running"),
            "{args:?}"
        );
        assert!(
            stderr(&output).contains("regent -f cluster.yaml up"),
            "{args:?}"
        );
    }
}

#[test]
fn completions_and_schema_need_no_file() {
    let scratch = scratch();
    for shell in ["bash", "zsh", "fish"] {
        let output = regent(scratch.path(), &["completions", shell]);
        assert_eq!(code(&output), 0);
        assert!(stdout(&output).contains("regent"));
    }
    let schema = regent(scratch.path(), &["schema"]);
    let schema: serde_json::Value = serde_json::from_str(stdout(&schema)).unwrap();
    assert!(schema["properties"]["controlPlane"].is_object());
}

#[test]
fn case_times_of_no_run_is_no_order() {
    let scratch = scratch();
    let refused = regent(scratch.path(), &["verify", "--times", "0"]);
    assert_eq!(code(&refused), 2, "{}", stderr(&refused));
    assert!(stderr(&refused).contains("--times"), "{}", stderr(&refused));
}

#[test]
fn a_command_under_load_is_no_fault() {
    let scratch = scratch();
    let during = ["verify", "--during", "true"];
    let wrong: [&[&str]; 9] = [
        &["--fault", "kill"],
        &["--target", "m1"],
        &["--percent", "5"],
        &["--hold", "9"],
        &["--no-heal"],
        &["--times", "2"],
        &["--judge", "evidence/run"],
        &["--budget", "soon"],
        &["--timeout", "1"],
    ];
    for more in wrong {
        let refused = regent(scratch.path(), &[&during, more].concat());
        assert_eq!(code(&refused), 2, "{more:?}: {}", stderr(&refused));
        assert!(stderr(&refused).contains(more[0]), "{}", stderr(&refused));
    }
    for wrong in [["--budget", "0s"], ["--timeout", "1m"], ["--during", ""]] {
        let refused = regent(scratch.path(), &[&["verify"], &wrong[..]].concat());
        assert_eq!(code(&refused), 2, "{wrong:?}: {}", stderr(&refused));
        assert!(
            stderr(&refused).contains("--during"),
            "{}",
            stderr(&refused)
        );
    }
}
