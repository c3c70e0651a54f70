//! Failpoints, for tests of interruptions: `up` kills itself, as a power cut would end it.
//!
//! `REGENT_FAILPOINT='join worker w1/after'` has it die right after that action; `…/before` right before it,
//! `…/during:1500` 1500 ms after it began. `each:FILE` stands for every one of them that the file does not name yet; the
//! point where it dies is added to the file first.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io::Write as _;
use std::sync::LazyLock;
use std::time::Duration;

use camino::Utf8PathBuf;
use tokio_util::task::AbortOnDropHandle;

use crate::recipe::Action;

/// The variable.
const VARIABLE: &str = "REGENT_FAILPOINT";

/// With `each`: long enough that an action has begun, short enough that most have not ended.
const AMID: Duration = Duration::from_millis(700);

static SET: LazyLock<Option<Failpoints>> =
    LazyLock::new(|| Failpoints::parse(&std::env::var(VARIABLE).ok()?));

/// Where in an action.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Moment {
    Before,
    During(Duration),
    After,
}

/// Where to die.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Failpoints {
    /// Here: an action as it is shown, and when.
    At(String, Moment),
    /// Wherever this file does not say that one has died before.
    Each(Utf8PathBuf),
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Before => f.write_str("before"),
            Self::During(after) => write!(f, "during:{}", after.as_millis()),
            Self::After => f.write_str("after"),
        }
    }
}

impl Failpoints {
    fn parse(text: &str) -> Option<Self> {
        if let Some(file) = text.strip_prefix("each:") {
            return Some(Self::Each(file.into()));
        }
        let (action, moment) = text.rsplit_once('/')?;
        let moment = match moment.split_once(':') {
            None if moment == "before" => Moment::Before,
            None if moment == "after" => Moment::After,
            Some(("during", millis)) => Moment::During(Duration::from_millis(millis.parse().ok()?)),
            _ => return None,
        };
        Some(Self::At(action.to_owned(), moment))
    }

    /// When during this action, if there is a point.
    fn amid(&self, action: &str) -> Option<Duration> {
        match self {
            Self::At(set, Moment::During(after)) if set == action => Some(*after),
            Self::At(..) => None,
            Self::Each(_) => Some(AMID),
        }
    }

    /// Whether to die here; of `each` it is noted.
    fn hit(&self, action: &str, moment: Moment) -> bool {
        match self {
            Self::At(set, when) => set == action && *when == moment,
            Self::Each(file) => {
                let point = format!("{action}/{moment}");
                let passed = fs::read_to_string(file).unwrap_or_default();
                let passed: BTreeSet<_> = passed.lines().collect();
                !passed.contains(point.as_str()) && note(file, &point).is_ok()
            }
        }
    }
}

/// Adds a line to a file, for good.
fn note(file: &Utf8PathBuf, line: &str) -> std::io::Result<()> {
    let mut file = File::options().create(true).append(true).open(file)?;
    file.write_all(format!("{line}\n").as_bytes())?;
    file.sync_all()
}

/// Ends this process without a word if that is where it is to end.
pub(super) fn pass(action: &Action, moment: Moment) {
    if let Some(set) = SET.as_ref()
        && set.hit(&action.to_string(), moment)
    {
        kill();
    }
}

/// The same at a moment during the action, as long as the returned value lives.
pub(super) fn pass_during(action: &Action) -> Option<AbortOnDropHandle<()>> {
    let (set, action) = (SET.as_ref()?, action.to_string());
    let after = set.amid(&action)?;
    Some(AbortOnDropHandle::new(tokio::spawn(async move {
        tokio::time::sleep(after).await;
        if set.hit(&action, Moment::During(after)) {
            kill();
        }
    })))
}

fn kill() {
    let own = rustix::process::getpid();
    // What fails to end itself goes on, and the test sees that.
    let _ = rustix::process::kill_process(own, rustix::process::Signal::KILL);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failpoint_is_an_action_and_a_moment() {
        let amid = Moment::During(Duration::from_millis(1500));
        for (text, action, moment) in [
            ("join worker w1/after", "join worker w1", Moment::After),
            ("settle/before", "settle", Moment::Before),
            ("init m1/during:1500", "init m1", amid),
        ] {
            let set = Failpoints::parse(text).unwrap();
            assert!(set.hit(action, moment), "{text}");
            assert!(!set.hit("start m1", moment), "{text}");
            assert_eq!(format!("{action}/{moment}"), text);
        }
        for bad in ["", "init m1", "init m1/while", "init m1/during:soon"] {
            assert_eq!(Failpoints::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn each_point_is_hit_once() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("passed");
        let set = Failpoints::parse(&format!("each:{}", file.display())).unwrap();
        assert!(set.hit("init m1", Moment::Before));
        assert!(!set.hit("init m1", Moment::Before));
        assert!(set.hit("init m1", Moment::After));
        assert_eq!(set.amid("init m1"), Some(AMID));
        assert_eq!(
            fs::read_to_string(file).unwrap(),
            "init m1/before\ninit m1/after\n"
        );
    }
}
