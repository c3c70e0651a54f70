//! Questions to an API whose servers may just be starting.

use std::time::{Duration, Instant};

use super::KubernetesError;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// Asks again, for so long, where nobody is there. A refusal is an answer.
///
/// # Errors
/// What the last try met.
pub async fn patiently<T>(
    limit: Duration,
    ask: impl AsyncFn() -> Result<T, KubernetesError>,
) -> Result<T, KubernetesError> {
    let started = Instant::now();
    loop {
        match ask().await {
            Err(error) if error.is_nobody_there() && started.elapsed() < limit => {
                tokio::time::sleep(PAUSE).await;
            }
            told => return told,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// How often was asked, and whether it succeeded, of an API that fails so at first.
    async fn asked(fails: u32, why: impl Fn() -> kube::Error) -> (u32, bool) {
        let times = Cell::new(0);
        let ask = || {
            times.set(times.get() + 1);
            let failed = (times.get() <= fails).then(|| KubernetesError::Request {
                what: "answer",
                source: Box::new(why()),
            });
            std::future::ready(failed.map_or(Ok(()), Err))
        };
        let told = patiently(Duration::from_secs(60), ask).await;
        (times.get(), told.is_ok())
    }

    /// Seen after the API servers had been started anew: the second of two requests met a server that was not there.
    #[tokio::test]
    async fn who_is_not_there_yet_is_asked_again_and_a_refusal_is_taken() {
        let nobody = || kube::Error::Service("tls handshake eof".into());
        assert_eq!(asked(0, nobody).await, (1, true));
        assert_eq!(asked(2, nobody).await, (3, true));
        let refusal = || kube::Error::LinesCodecMaxLineLengthExceeded;
        assert_eq!(asked(2, refusal).await, (1, false));
    }
}
