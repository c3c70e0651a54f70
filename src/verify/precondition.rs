//! What must hold before a fault, and again after its revert: every health check of the cluster.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use crate::kubernetes::Kubernetes;
use crate::recipe;
use crate::site::Site;

/// Between two looks. One asks every node, so it is not for free.
const PAUSE: Duration = Duration::from_secs(1);

/// Waits until every health check holds, at most for `patience`, and returns what was missing at the last look. What is
/// missing is said once for each change.
pub async fn await_preconditions(site: &Site, patience: Duration) -> Vec<String> {
    let say = |missing: &[String]| {
        site.events.warn(format!(
            "waiting until the cluster is healthy: {}",
            missing.join("; ")
        ));
    };
    until_nothing_is_missing(|| missing(site), say, patience, PAUSE).await
}

/// Returns which health checks do not hold now.
pub(super) async fn missing(site: &Site) -> Vec<String> {
    let kubernetes = match Kubernetes::connect(&site.kubeconfig()).await {
        Ok(kubernetes) => kubernetes,
        Err(error) => return vec![format!("API: {error}")],
    };
    let checks = recipe::health(site, &kubernetes).await;
    let missing = checks
        .into_iter()
        .filter_map(|check| Some((check.name, check.missing?)));
    missing
        .map(|(name, what)| format!("{name}: {what}"))
        .collect()
}

/// Looks until nothing is missing or `patience` is over. A look that does not end in time is no look.
async fn until_nothing_is_missing<F: Future<Output = Vec<String>>>(
    look: impl Fn() -> F,
    say: impl Fn(&[String]),
    patience: Duration,
    pause: Duration,
) -> Vec<String> {
    let end = Instant::now() + patience;
    let mut last = Vec::new();
    loop {
        let Ok(missing) = timeout_at(end, look()).await else {
            // Never seen whole counts as never healthy.
            if last.is_empty() {
                last.push(format!("no answer within {patience:?}"));
            }
            return last;
        };
        if missing.is_empty() {
            return missing;
        }
        if missing != last {
            say(&missing);
        }
        last = missing;
        if Instant::now() + pause >= end {
            return last;
        }
        sleep(pause).await;
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    /// What each look finds, what was said, and what was missing at the end.
    async fn waited(looks: &[&[&str]], patience: Duration) -> (Vec<String>, Vec<String>) {
        let turn = Cell::new(0);
        let said = RefCell::new(Vec::new());
        let look = || {
            let found = looks[turn.get().min(looks.len() - 1)];
            turn.set(turn.get() + 1);
            async { found.iter().map(ToString::to_string).collect() }
        };
        let say = |missing: &[String]| said.borrow_mut().push(missing.join("; "));
        let pause = Duration::from_millis(2);
        let missing = until_nothing_is_missing(look, say, patience, pause).await;
        (missing, said.into_inner())
    }

    #[tokio::test]
    async fn case_times() {
        let (long, short) = (Duration::from_secs(60), Duration::from_millis(20));
        let moving = "DNS: coredns 1 of 2";
        // Healthy: no wait, and nothing is said.
        assert_eq!(waited(&[&[]], long).await, (vec![], vec![]));
        // The first fault's pods are still moving: it waits and says so, once.
        let (missing, said) = waited(&[&[moving], &[moving], &[moving], &[]], long).await;
        assert!(missing.is_empty());
        assert_eq!(said, [moving]);
        // The wait ends, and what is missing is known.
        let (missing, said) =
            waited(&[&[moving, "nodes: w1 is not Ready"], &[moving]], short).await;
        assert_eq!(missing, [moving]);
        assert_eq!(said.len(), 2);
    }

    #[tokio::test]
    async fn a_look_that_hangs_is_given_up() {
        let look = std::future::pending::<Vec<String>>;
        let missing =
            until_nothing_is_missing(look, |_| {}, Duration::from_millis(20), PAUSE).await;
        assert_eq!(missing, ["no answer within 20ms"]);
    }
}
