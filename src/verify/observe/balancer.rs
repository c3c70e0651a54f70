//! The load balancer's own account: haproxy's log of its health checks, as the journal stamped it.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

use super::recorder::Recorder;
use crate::node::Node;
use crate::verify::observation::{Occurrence, ServerState};

/// Between two looks. The journal's stamps are exact, however late they are read.
const PAUSE: Duration = Duration::from_secs(2);

/// A look takes some tens of milliseconds; a load balancer that is down gives none, and the next look catches up.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads the journal of one load balancer from `since` on, again and again, until it is dropped. For a load balancer
/// that shares this machine's clock (a container) the stamps are exact; `offset` corrects those of one that does not.
pub(super) struct Journal {
    node: Node,
    recorder: Recorder,
    since: Timestamp,
    cursor: Option<String>,
    offset: jiff::SignedDuration,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "__CURSOR")]
    cursor: String,
    #[serde(rename = "__REALTIME_TIMESTAMP")]
    micros: String,
    /// Not a string if it is not UTF-8; such a line is none of haproxy's.
    #[serde(rename = "MESSAGE")]
    message: serde_json::Value,
}

impl Journal {
    pub(super) async fn open(node: Node, recorder: Recorder) -> Self {
        let offset = offset(&node).await.unwrap_or_default();
        let since = recorder.clock.wall() + offset;
        Self {
            node,
            recorder,
            since,
            cursor: None,
            offset,
        }
    }

    pub(super) async fn run(mut self) {
        loop {
            self.look().await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn look(&mut self) {
        let from = match &self.cursor {
            Some(cursor) => format!("--after-cursor={cursor}"),
            None => format!("--since=@{}", self.since.as_second()),
        };
        let argv = [
            "journalctl",
            "--unit=haproxy",
            "--output=json",
            "--output-fields=MESSAGE",
            "--quiet",
            "--no-pager",
            &from,
        ];
        let Ok(text) = self.node.command(argv).deadline(PATIENCE).run().await else {
            return;
        };
        for line in text.lines() {
            let Ok(entry) = serde_json::from_str::<Entry>(line) else {
                continue;
            };
            self.cursor = Some(entry.cursor);
            let stamp = entry
                .micros
                .parse()
                .ok()
                .and_then(|micros| Timestamp::from_microsecond(micros).ok());
            let (Some(stamp), Some(message)) = (stamp, entry.message.as_str()) else {
                continue;
            };
            if stamp < self.since {
                continue; // journalctl rounds down to the second
            }
            if let Some(what) = parse(message) {
                let at = self.recorder.clock.at_wall(stamp - self.offset);
                self.recorder.note(at, Duration::ZERO, what);
            }
        }
    }
}

/// Measures how far the node's clock is ahead of this machine's, by the quickest of three questions.
async fn offset(node: &Node) -> Option<jiff::SignedDuration> {
    let mut best: Option<(Duration, jiff::SignedDuration)> = None;
    for _ in 0..3 {
        let (asked, before) = (std::time::Instant::now(), Timestamp::now());
        let answer = node
            .command(["date", "+%s%N"])
            .deadline(PATIENCE)
            .run()
            .await
            .ok()?;
        let took = asked.elapsed();
        let theirs = Timestamp::from_nanosecond(answer.trim().parse().ok()?).ok()?;
        let middle = before + took / 2;
        if best.is_none_or(|(quickest, _)| took < quickest) {
            best = Some((took, theirs.duration_since(middle)));
        }
    }
    // Nearer than the question took, it is the same clock.
    let (took, offset) = best?;
    let same = offset.unsigned_abs() < took;
    Some(if same {
        jiff::SignedDuration::ZERO
    } else {
        offset
    })
}

/// Reads a line of haproxy's log; none if it is not about a server's health.
///
/// `Server control-plane/m2 is DOWN, reason: Layer4 timeout, check duration: 300ms. 2 active and …` or
/// `Health check for server control-plane/m2 failed, reason: Layer4 timeout, check duration: 300ms, status: 2/3 UP.`
fn parse(message: &str) -> Option<Occurrence> {
    // haproxy's own warnings say the same once more.
    if message.starts_with('[') {
        return None;
    }
    let (rest, check) = match message.split_once("Health check for server ") {
        Some((_, rest)) => (rest, true),
        None => (message.split_once("Server ")?.1, false),
    };
    let (name, rest) = rest.split_once(' ')?;
    let (_, server) = name.split_once('/')?;
    let state = match (check, rest) {
        (true, rest) if rest.starts_with("failed") => ServerState::Failing,
        (false, rest) if rest.starts_with("is DOWN") => ServerState::Down,
        (false, rest) if rest.starts_with("is UP") => ServerState::Up,
        _ => return None,
    };
    let reason = rest
        .split_once("reason: ")
        .map_or(rest, |(_, reason)| reason);
    let reason = reason
        .split(". ")
        .next()
        .unwrap_or(reason)
        .trim_end_matches('.');
    Some(Occurrence::Server {
        server: server.to_owned(),
        state,
        reason: reason.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn haproxys_lines_about_servers_are_read() {
        let read = |line| match parse(line) {
            Some(Occurrence::Server {
                server,
                state,
                reason,
            }) => Some((server, state, reason)),
            _ => None,
        };
        let owned =
            |server: &str, state, reason: &str| Some((server.to_owned(), state, reason.to_owned()));
        assert_eq!(
            read(
                "<133>Server control-plane/m2 is DOWN, reason: Layer4 timeout, check duration: 301ms. 2 active and 0 \
                 backup servers left. 3 sessions active, 0 requeued, 0 remaining in queue."
            ),
            owned(
                "m2",
                ServerState::Down,
                "Layer4 timeout, check duration: 301ms"
            )
        );
        assert_eq!(
            read(
                "Server control-plane/m2 is UP, reason: Layer7 check passed, code: 200, check duration: 4ms. 3 active \
                 and 0 backup servers online. 0 sessions requeued, 0 total in queue."
            ),
            owned(
                "m2",
                ServerState::Up,
                "Layer7 check passed, code: 200, check duration: 4ms"
            )
        );
        assert_eq!(
            read(
                "Health check for server control-plane/m3 failed, reason: Layer6 timeout, check duration: 2000ms, \
                 status: 2/3 UP."
            ),
            owned(
                "m3",
                ServerState::Failing,
                "Layer6 timeout, check duration: 2000ms, status: 2/3 UP"
            )
        );
        for other in [
            "Health check for server control-plane/m3 succeeded, reason: Layer7 check passed, status: 3/3 UP.",
            "backend control-plane has no server available!",
            "[WARNING]  (340) : Server control-plane/m1 is DOWN. 2 active and 0 backup servers left.",
            "198.18.0.1:40112 [22/Nov/2026:20:00:00.000] kubernetes control-plane/m1 1/0/5 100 -- 4/4/3/1/0 0/0",
            "",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
    }
}
