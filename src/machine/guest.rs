//! Whether this machine's processor runs guests: tried once with a tiny one, and remembered.
//!
//! That `/dev/kvm` is there and opens proves little: a machine that is a guest itself may offer it to kernels that were
//! made for it only, and an ordinary one dies on its first steps.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use camino::{Utf8Path, Utf8PathBuf};
use serde::{Deserialize, Serialize};

use super::examine::libvirt_driver;
use super::facts;
use crate::file::{self, ReadError};
use crate::program;
use crate::render::libvirt::Accelerator;
use crate::spec::{Driver, DriverDecision};

/// Where the outcome of the last trial is remembered, below the state directory. Without it there is a new trial.
pub const TRIAL: &str = "guest-trial.json";

/// What the guest's first process says, and ends the guest then.
pub(crate) const WORD: &str = "regent: this machine boots guests";

/// A guest of some MB takes one or two seconds to its first process; the rest is for a busy machine.
const PATIENCE: &str = "15";

/// What is known of guests on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Guests {
    /// A guest has booted.
    Boot,
    /// None does; why, as a sentence without a stop.
    DoNot(String),
    /// They might, but a program is missing; which, likewise.
    Lacking(String),
    /// Nobody has tried since the kernel or QEMU changed.
    Untried,
}

/// A trial, with what its outcome depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Trial {
    /// Linux's release.
    kernel: String,
    /// QEMU's version.
    qemu: String,
    /// The guest's kernel.
    guest: Utf8PathBuf,
    /// Why the guest did not boot; none if it did.
    failure: Option<String>,
}

impl Guests {
    /// What `driver: auto` means here.
    pub fn decision(self) -> DriverDecision {
        let (driver, reason) = match self {
            Self::Boot => (Driver::Qemu, "the processor runs guests".to_owned()),
            Self::DoNot(why) | Self::Lacking(why) => (Driver::Lxc, why),
            Self::Untried => (
                Driver::Lxc,
                "whether the processor runs guests is not tried yet: `up` and `doctor` do"
                    .to_owned(),
            ),
        };
        DriverDecision { driver, reason }
    }
}

/// Says what is known, with the memory of trials in `state`. Boots nothing.
///
/// # Errors
/// When that memory is damaged.
pub fn guests(state: &Utf8Path) -> Result<Guests, ReadError> {
    match Equipment::find() {
        Ok(equipment) => Ok(match equipment.remembered(state)? {
            Some(trial) => trial.outcome(),
            None => Guests::Untried,
        }),
        Err(guests) => Ok(guests),
    }
}

/// Boots a tiny guest of this kernel and initrd, unless that is remembered: some seconds at most. Its command line has
/// `regent.probe`, at which the initrd says its word and switches off.
///
/// # Errors
/// When the memory of trials is damaged; nothing is booted and nothing written then.
pub fn try_guest(
    state: &Utf8Path,
    kernel: &Utf8Path,
    initrd: &Utf8Path,
) -> Result<Guests, ReadError> {
    let equipment = match Equipment::find() {
        Ok(equipment) => equipment,
        Err(guests) => return Ok(guests),
    };
    if let Some(trial) = equipment.remembered(state)?
        && trial.guest == kernel
    {
        return Ok(trial.outcome());
    }
    let trial = Trial {
        kernel: release(),
        failure: equipment.boot(kernel, initrd).err(),
        qemu: equipment.version,
        guest: kernel.to_owned(),
    };
    // Not remembered is no harm: it is tried again.
    let _ = trial.remember(state);
    Ok(trial.outcome())
}

/// Returns what runs the processors of virtual machines here.
///
/// # Errors
/// As for [`try_guest`].
pub fn accelerator(
    state: &Utf8Path,
    kernel: &Utf8Path,
    initrd: &Utf8Path,
) -> Result<Accelerator, ReadError> {
    Ok(match try_guest(state, kernel, initrd)? {
        Guests::Boot => Accelerator::Kvm,
        Guests::DoNot(_) | Guests::Lacking(_) | Guests::Untried => Accelerator::Emulated,
    })
}

/// Returns what is wrong with emulation by the installed QEMU, if something is known to be.
pub fn emulation_doubt() -> Option<String> {
    let version = version(&program::find(&qemu())?)?;
    let (major, _) = facts::qemu_version(&version)?;
    (major < 10).then(|| {
        format!("{version} is installed; 7.2 was seen to emulate a processor on which Linux panics, 10.0 works")
    })
}

/// What a trial needs.
struct Equipment {
    qemu: Utf8PathBuf,
    version: String,
}

impl Equipment {
    /// Finds it, or says why a trial is out of the question.
    fn find() -> Result<Self, Guests> {
        let device = Path::new("/dev/kvm");
        if !device.exists() {
            return Err(Guests::DoNot("there is no /dev/kvm".to_owned()));
        }
        let program = qemu();
        let lacking = |what: &str| Guests::Lacking(format!("{what} is not installed"));
        let qemu = program::find(&program).ok_or_else(|| lacking(&program))?;
        program::find("qemu-img").ok_or_else(|| lacking("qemu-img"))?;
        libvirt_driver("qemu").ok_or_else(|| lacking("libvirt's qemu driver"))?;
        let version = version(&qemu)
            .ok_or_else(|| Guests::DoNot(format!("{program} does not tell its version")))?;
        Ok(Self { qemu, version })
    }

    /// Returns the last trial, if nothing has changed since.
    fn remembered(&self, state: &Utf8Path) -> Result<Option<Trial>, ReadError> {
        let trial = file::read_json::<Trial>(&state.join(TRIAL))?;
        Ok(trial.filter(|trial| trial.kernel == release() && trial.qemu == self.version))
    }

    /// Boots the guest; fails with why it did not boot.
    fn boot(&self, kernel: &Utf8Path, initrd: &Utf8Path) -> Result<(), String> {
        fs::File::open("/dev/kvm").map_err(|error| format!("/dev/kvm does not open: {error}"))?;
        // `timeout` ends it also when regent has ended meanwhile.
        let output = Command::new("timeout")
            .args(["--signal=KILL", PATIENCE])
            .arg(&self.qemu)
            .args([
                "-accel", "kvm", "-machine", "q35", "-cpu", "host", "-m", "256",
            ])
            .args([
                "-nodefaults",
                "-no-user-config",
                "-no-reboot",
                "-display",
                "none",
            ])
            .args([
                "-serial",
                "stdio",
                "-kernel",
                kernel.as_str(),
                "-initrd",
                initrd.as_str(),
            ])
            .args(["-append", "console=ttyS0 regent.probe panic=-1"])
            .stdin(Stdio::null())
            .output()
            .map_err(|error| format!("QEMU cannot be started: {error}"))?;
        verdict(&output).map_err(|why| format!("/dev/kvm opens, but a guest does not boot: {why}"))
    }
}

impl Trial {
    fn outcome(&self) -> Guests {
        match &self.failure {
            None => Guests::Boot,
            Some(why) => Guests::DoNot(why.clone()),
        }
    }

    fn remember(&self, state: &Utf8Path) -> io::Result<()> {
        // As the labs in it, for root only.
        let mut directory = fs::DirBuilder::new();
        directory.recursive(true).mode(0o700).create(state)?;
        file::write_json(&state.join(TRIAL), self)
    }
}

/// Reads what became of the guest from what QEMU left.
fn verdict(output: &Output) -> Result<(), String> {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    let (console, complaint) = (text(&output.stdout), text(&output.stderr));
    if console.contains(WORD) {
        return Ok(());
    }
    let last = |text: &str| {
        let mut lines = text.lines().map(str::trim);
        lines.rfind(|line| !line.is_empty()).map(str::to_owned)
    };
    // The first complaint is the cause; what follows may be a dump of registers.
    let complaint = complaint
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty());
    let said = complaint.map(str::to_owned).or_else(|| last(&console));
    // `timeout` ends as QEMU did, or as a shell would tell of it: by the SIGKILL that it sent.
    let late = output.status.signal() == Some(9) || output.status.code() == Some(137);
    Err(match (said, late) {
        (Some(said), true) => format!("not within {PATIENCE} s; it said `{said}`"),
        (None, true) => format!("nothing was heard for {PATIENCE} s"),
        (Some(said), false) => format!("it said `{said}`"),
        (None, false) => "it resets before it says a word".to_owned(),
    })
}

/// The program that runs guests of the host's own architecture.
fn qemu() -> String {
    format!("qemu-system-{}", std::env::consts::ARCH)
}

fn version(qemu: &Utf8Path) -> Option<String> {
    let output = Command::new(qemu).arg("--version").output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next()?;
    Some(
        line.trim_start_matches("QEMU emulator version")
            .trim()
            .to_owned(),
    )
    .filter(|version| !version.is_empty())
    .map(|version| format!("QEMU {version}"))
}

fn release() -> String {
    rustix::system::uname()
        .release()
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::ExitStatus;

    #[test]
    fn what_qemu_leaves_tells_what_became_of_the_guest() {
        let after = |code: i32, stdout: &str, stderr: &str| {
            verdict(&Output {
                status: ExitStatus::from_raw(code << 8),
                stdout: stdout.into(),
                stderr: stderr.into(),
            })
        };
        after(0, &format!("[    0.9] init\r\n{WORD}\r\n"), "").unwrap();
        for (code, stdout, stderr, why) in [
            (0, "", "", "it resets before it says a word"),
            (
                137,
                "",
                "KVM internal error. Suberror: 1\nextra data[0]: 0x0\nRAX=0 RBX=0\n",
                "not within 15 s; it said `KVM internal error. Suberror: 1`",
            ),
            (137, "", "", "nothing was heard for 15 s"),
            (
                0,
                "Linux version 6.12\r\nKernel panic - not syncing\r\n\r\n",
                "",
                "it said `Kernel panic - not syncing`",
            ),
        ] {
            assert_eq!(after(code, stdout, stderr).unwrap_err(), why);
        }
    }

    #[test]
    fn a_trial_is_remembered_until_something_changes() {
        let directory = tempfile::tempdir().unwrap();
        let state = Utf8Path::from_path(directory.path()).unwrap().join("state");
        let equipment = |version: &str| Equipment {
            qemu: "qemu".into(),
            version: version.to_owned(),
        };
        let trial = Trial {
            kernel: release(),
            qemu: "QEMU 10.0.2".to_owned(),
            guest: "/store/kernel".into(),
            failure: Some("it said `no`".to_owned()),
        };
        let remembered = |version: &str| equipment(version).remembered(&state).unwrap();
        assert_eq!(remembered("QEMU 10.0.2"), None);
        trial.remember(&state).unwrap();
        assert_eq!(remembered("QEMU 10.0.2").as_ref(), Some(&trial));
        assert_eq!(remembered("QEMU 10.0.3"), None);
        let decision = trial.outcome().decision();
        assert_eq!(
            (decision.driver, decision.reason.as_str()),
            (Driver::Lxc, "it said `no`")
        );
        // What is damaged is no trial that never was: somebody must look.
        fs::write(state.join(TRIAL), "{").unwrap();
        let error = equipment("QEMU 10.0.2").remembered(&state).unwrap_err();
        assert_eq!(error.path(), state.join(TRIAL));
    }
}
