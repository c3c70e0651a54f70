//! Scenarios of the program's commands on a cluster of their own: files are damaged, signals sent, environments spoiled.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use regent::name::NodeName;

use crate::cluster::Seen;
use crate::lab::Result;
use crate::program::{Program, finish, refuses, said, says, under_umask, wait};
use crate::scenarios::expect;

/// What `regent` exits with when it refuses a file.
const WRONG: i32 = 2;

/// The same when it refuses an operation, or one has failed.
const REFUSED: i32 = 4;

/// A node boots within seconds, and kubelet's first word takes as long again; the bound is for a busy machine.
const BACK: Duration = Duration::from_secs(120);

/// Damaged files are errors with their path, to every command, and nothing is written over them.
pub fn case_secrets(program: &Program) -> Seen {
    program.is_as_planned()?;
    let root = program.paths()?.root().to_owned();
    for name in ["secrets.json", "lab.json"] {
        let path = root.join(name);
        let whole = std::fs::read(&path)?;
        let short = &whole[..whole.len() / 2];
        std::fs::write(&path, short)?;
        let refused = ["status", "up"].map(|command| program.refuses(&[command], REFUSED));
        let after = std::fs::read(&path)?;
        std::fs::write(&path, &whole)?;
        for refused in refused {
            let refused = refused?;
            expect(
                refused.contains(path.as_str()),
                format!("{path} in {refused}"),
            )?;
        }
        expect(after == short, format!("{path} is as it was"))?;
    }
    program.is_healthy()?;
    Ok("secrets.json, lab.json".to_owned())
}

/// Commands work on what runs, and say that the file asks for another node.
pub fn case_added_node(program: &Program) -> Seen {
    program.is_as_planned()?;
    let file = program.other_file("workers: { count: 1 }", "workers: { count: 2 }")?;
    let with = |args: &[&str]| says(program.command_with(&file, args)?);
    let status = with(&["status"])?;
    expect(status.contains("workers.count: 1 → 2"), status)?;
    let name = with(&["ssh", "m1", "hostname"])?;
    expect(name == "m1\n", name)?;
    let preview = with(&["up", "--dry-run"])?;
    expect(
        preview.contains("w2: start") && !preview.contains("m1: kubeadm"),
        preview,
    )?;
    Ok("status, ssh, up --dry-run".to_owned())
}

/// What a running cluster cannot become is refused by its key, and `verify` would work on what runs.
pub fn case_other_file(program: &Program) -> Seen {
    program.is_as_planned()?;
    let other = "loadBalancer: { tuning: kubeadm-docs }\nworkers";
    let file = program.other_file("workers", other)?;
    let refused = refuses(program.command_with(&file, &["up"])?, WRONG)?;
    expect(refused.contains("loadBalancer.tuning"), refused)?;
    let status = says(program.command_with(&file, &["status"])?)?;
    expect(status.contains("fast → kubeadm-docs"), status)?;
    program.is_healthy()?;
    Ok("refused by its key".to_owned())
}

/// While a verification runs nobody else changes the cluster, and they are told who holds it.
/// A terminal that goes away ends it as any other wish does: the fault is reverted, the evidence is there.
pub fn case_sighup(program: &Program) -> Seen {
    program.is_as_planned()?;
    let w1: NodeName = "w1".parse()?;
    let mut verify = until_cut(program, &w1)?;
    let holder = verify.0.id().to_string();
    for args in [&["up"][..], &["node", "start", "w1"], &["down"]] {
        let refused = program.refuses(args, REFUSED)?;
        let named = refused.contains("verify") && refused.contains(&holder);
        expect(named, format!("who holds the lab: {refused}"))?;
    }
    expect(domain(program, &w1)? == "off", "w1 is still cut")?;

    let before = evidence(program)?;
    let pid = rustix::process::Pid::from_child(&verify.0);
    rustix::process::kill_process(pid, rustix::process::Signal::HUP)?;
    let ended = wait(&mut verify.0)?;
    expect(ended.code() == Some(130), format!("130, not {ended}"))?;
    expect(domain(program, &w1)? == "running", "w1 is started again")?;
    let written = evidence(program)? - before;
    expect(written == 1, format!("one run's evidence, not {written}"))?;
    settled(program)?;
    Ok("up, node and down are refused; SIGHUP reverts".to_owned())
}

/// A verification that is killed in the hold cannot revert its fault. The lab's record names it, with the command that does.
pub fn a_killed_verification_leaves_a_known_fault(program: &Program) -> Seen {
    program.is_as_planned()?;
    let w1: NodeName = "w1".parse()?;
    let mut verify = until_cut(program, &w1)?;
    verify.0.kill()?;
    wait(&mut verify.0)?;
    let status = program.says(&["status"])?;
    let revert = "`regent node start w1` reverts it";
    let known = status.contains("w1: power-cut") && status.contains(revert);
    expect(known, format!("the fault in force: {status}"))?;
    let refused = program.refuses(&["verify"], REFUSED)?;
    expect(refused.contains("in force already"), refused)?;
    program.says(&["node", "start", "w1"])?;
    settled(program)?;
    let faults = &program.status()?["faults"];
    expect(
        faults == &serde_json::json!([]),
        format!("no fault: {faults}"),
    )?;
    Ok("named by status, in the way of verify, gone with the start".to_owned())
}

/// Begins a verification, and waits until it has cut w1.
fn until_cut(program: &Program, w1: &NodeName) -> Result<Ended> {
    let mut command = program.command(&["verify", "--target", "w1", "--hold", "120"])?;
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut verify = Ended(command.spawn()?);
    let begun = Instant::now();
    while domain(program, w1)? != "off" {
        let waits = begun.elapsed() < BACK && verify.0.try_wait()?.is_none();
        expect(waits, "w1 is cut by `verify`")?;
        std::thread::sleep(Duration::from_millis(200));
    }
    Ok(verify)
}

/// How many runs have left whole evidence; each begins with an empty directory.
fn evidence(program: &Program) -> Result<usize> {
    let runs = program.directory()?.join("evidence").read_dir_utf8();
    let mut whole = 0;
    for run in runs.into_iter().flatten() {
        whole += usize::from(run?.path().join("run.json").exists());
    }
    Ok(whole)
}

/// A child that does not outlive the scenario that began it.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Fails where it has ended, as it should.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Two hundred commands, each of which ends while domains' lives are being told.
pub fn case_exit_hang(program: &Program) -> Seen {
    program.is_as_planned()?;
    let (begun, mut longest) = (Instant::now(), Duration::ZERO);
    for _ in 0..100 {
        for verb in ["pause", "resume"] {
            let one = Instant::now();
            program.says(&["node", verb, "w1"])?;
            longest = longest.max(one.elapsed());
        }
    }
    expect(
        longest < Duration::from_secs(10),
        format!("soon, not after {longest:.1?}"),
    )?;
    let took = begun.elapsed().as_secs_f64();
    settled(program)?;
    Ok(format!(
        "200 commands in {took:.0} s, the longest {longest:.1?}"
    ))
}

/// A proxy is for downloads: neither `up` nor any look at the lab goes through it.
pub fn case_proxy(program: &Program) -> Seen {
    program.is_as_planned()?;
    for args in [&["up"][..], &["status"], &["kubectl", "get", "nodes"]] {
        let mut command = program.command(args)?;
        for name in [
            "HTTPS_PROXY",
            "https_proxy",
            "HTTP_PROXY",
            "http_proxy",
            "ALL_PROXY",
        ] {
            command.env(name, "http://127.0.0.1:9");
        }
        let output = finish(command)?;
        let text = said(&output);
        let wrong = |text: &str| text.contains("proxy") || text.contains("missing");
        let fine = output.status.success() && !wrong(&text.replace("kube-proxy", ""));
        expect(fine, format!("{args:?} as without: {text}"))?;
    }
    Ok("up, status, kubectl".to_owned())
}

/// A node that is made under a umask that lets nobody read is as any other.
pub fn case_umask(program: &Program) -> Seen {
    program.is_as_planned()?;
    let w1: NodeName = "w1".parse()?;
    program.says(&["node", "cut", "w1"])?;
    std::fs::remove_dir_all(program.paths()?.node(&w1))?;
    let mut command = program.command(&["up"])?;
    under_umask(&mut command, 0o077);
    let begun = Instant::now();
    let up = finish(command)?;
    expect(up.status.success(), said(&up))?;
    program.is_healthy()?;
    Ok(format!("w1 made anew in {:.1?}", begun.elapsed()))
}

/// Waits until `up` has nothing to do any more.
fn settled(program: &Program) -> Result {
    program.says(&["up"])?;
    program.is_healthy()
}

/// A node's domain, in `status`'s word.
fn domain(program: &Program, name: &NodeName) -> Seen {
    let status = program.status()?;
    let nodes = status["nodes"].as_array().ok_or("no nodes")?;
    let node = nodes.iter().find(|node| node["name"] == name.as_str());
    let state = node.and_then(|node| node["domain"].as_str());
    Ok(state.ok_or("no such node")?.to_owned())
}
