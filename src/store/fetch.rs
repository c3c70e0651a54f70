//! Downloading locked files.

use std::fs::File;
use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use camino::Utf8Path;
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

use super::error::{FetchError, at};
use super::{Mirrors, Sha256, Sha256Writer};
use crate::event::{Event, Events};

/// A file on a mirror, known by its content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Download {
    /// Its path below a mirror's base URL.
    pub file: String,
    /// Its length in bytes.
    pub size: u64,
    /// Its hash.
    pub sha256: Sha256,
}

/// How many files are asked for at once; as many as are downloaded.
const ASKERS: usize = 4;

/// How often to ask one mirror that does not answer: a second time after a hiccup, a third after a restart.
const ATTEMPTS: u32 = 3;

/// The pause before a further attempt; grows with each.
const PAUSE: Duration = Duration::from_millis(500);

/// How long a mirror may be silent, connecting or sending.
const SILENCE: Duration = Duration::from_secs(20);

/// How much to read before progress is reported: about a hundred reports for a whole set of packages.
const CHUNK: usize = 1 << 20;

/// Downloads from the first mirror that has a file.
#[derive(Debug)]
pub(super) struct Fetcher {
    agent: ureq::Agent,
    mirrors: Mirrors,
}

/// Why one attempt at one mirror failed.
enum Miss {
    /// The mirror does not have the file.
    Absent,
    /// The mirror has something else under that name.
    Mismatch(Sha256),
    /// Asking again may help.
    Trouble(String),
    /// Our own disk.
    File(super::error::FileError),
}

impl Fetcher {
    pub(super) fn new(mirrors: Mirrors) -> Result<Self, FetchError> {
        let tls = TlsConfig::builder().root_certs(root_certificates()).build();
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(SILENCE))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE))
            .user_agent(concat!("regent/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls)
            .build();
        Ok(Self {
            agent: config.into(),
            mirrors,
        })
    }

    /// Downloads to `out`, which does not exist yet, and checks length and hash.
    pub(super) fn fetch(
        &self,
        download: &Download,
        out: &Utf8Path,
        progress: &Progress<'_>,
    ) -> Result<(), FetchError> {
        let mut worst = None;
        for base in self.mirrors.bases() {
            let url = format!("{base}/{}", download.file);
            match self.ask(&url, download, out, progress) {
                Ok(()) => return Ok(()),
                Err(Miss::Absent) => {}
                Err(Miss::File(error)) => return Err(error.into()),
                Err(Miss::Mismatch(found)) => {
                    worst = Some(FetchError::Mismatch {
                        url,
                        expected: download.sha256,
                        found,
                    });
                }
                Err(Miss::Trouble(last)) => {
                    worst = Some(FetchError::Unreachable {
                        file: download.file.clone(),
                        last: format!("{url}: {last}"),
                    });
                }
            }
        }
        let mirrors: Vec<&str> = self.mirrors.bases().collect();
        Err(worst.unwrap_or_else(|| FetchError::Gone {
            file: download.file.clone(),
            mirrors: mirrors.join(" "),
        }))
    }

    /// Whether some mirror has the file, as far as its headers say.
    fn is_offered(&self, file: &str) -> Result<bool, FetchError> {
        let mut trouble = None;
        for base in self.mirrors.bases() {
            let url = format!("{base}/{file}");
            match self.agent.head(&url).call() {
                Ok(response) if response.status().is_success() => return Ok(true),
                Ok(_) => {}
                Err(error) => trouble = Some(format!("{url}: {error}")),
            }
        }
        match trouble {
            Some(last) => Err(FetchError::Unreachable {
                file: file.to_owned(),
                last,
            }),
            None => Ok(false),
        }
    }

    fn ask(
        &self,
        url: &str,
        download: &Download,
        out: &Utf8Path,
        progress: &Progress<'_>,
    ) -> Result<(), Miss> {
        let mut attempt = 1;
        loop {
            match self.ask_once(url, download, out, progress) {
                Err(Miss::Trouble(_)) if attempt < ATTEMPTS => thread::sleep(PAUSE * attempt),
                end => return end,
            }
            attempt += 1;
        }
    }

    fn ask_once(
        &self,
        url: &str,
        download: &Download,
        out: &Utf8Path,
        progress: &Progress<'_>,
    ) -> Result<(), Miss> {
        let trouble = |error: &dyn std::error::Error| Miss::Trouble(error.to_string());
        let mut response = self
            .agent
            .get(url)
            .call()
            .map_err(|error| trouble(&error))?;
        match response.status().as_u16() {
            200 => {}
            404 | 410 => return Err(Miss::Absent),
            status => return Err(Miss::Trouble(format!("HTTP status {status}"))),
        }
        let file = File::create(out).map_err(|error| Miss::File(at(out)(error)))?;
        let mut writer = Sha256Writer::new(file);
        // One byte more than expected is enough to see that it is too long.
        let mut body = response.body_mut().as_reader().take(download.size + 1);
        let mut counted = 0;
        let copied = copy(&mut body, &mut writer, |count| {
            counted += count;
            progress.add(count);
        });
        let forget = |miss| {
            progress.remove(counted);
            miss
        };
        match copied {
            Ok(()) => {}
            Err(Half::Read(error)) => return Err(forget(trouble(&error))),
            Err(Half::Write(error)) => return Err(Miss::File(at(out)(error))),
        }
        let (file, found, length) = writer.finish();
        if length < download.size {
            return Err(forget(Miss::Trouble(format!(
                "the answer ended after {length} of {} bytes",
                download.size
            ))));
        }
        if found != download.sha256 {
            return Err(forget(Miss::Mismatch(found)));
        }
        file.sync_all().map_err(|error| Miss::File(at(out)(error)))
    }
}

/// Whether each of `files` is on some mirror.
///
/// # Errors
/// When the mirrors cannot be asked.
pub fn is_offered(files: &[&str]) -> Result<Vec<bool>, FetchError> {
    let fetcher = Fetcher::new(Mirrors::of_this_machine()?)?;
    let part = files.len().div_ceil(ASKERS).max(1);
    thread::scope(|scope| {
        let ask = |files: &[&str]| {
            files
                .iter()
                .map(|file| fetcher.is_offered(file))
                .collect::<Result<Vec<_>, _>>()
        };
        let askers: Vec<_> = files
            .chunks(part)
            .map(|files| scope.spawn(move || ask(files)))
            .collect();
        let answers = askers.into_iter().map(|asker| {
            asker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        Ok(answers.collect::<Result<Vec<_>, _>>()?.concat())
    })
}

/// Which side of a copy failed.
enum Half {
    Read(io::Error),
    Write(io::Error),
}

fn copy(
    from: &mut impl Read,
    to: &mut impl Write,
    mut progress: impl FnMut(u64),
) -> Result<(), Half> {
    let mut buffer = vec![0; CHUNK];
    let mut filled = 0;
    loop {
        let count = from.read(&mut buffer[filled..]).map_err(Half::Read)?;
        filled += count;
        if filled == buffer.len() || count == 0 {
            to.write_all(&buffer[..filled]).map_err(Half::Write)?;
            progress(filled as u64);
            filled = 0;
        }
        if count == 0 {
            return Ok(());
        }
    }
}

/// The certificate authorities that the machine trusts, its administrator's own among them; else those built in.
fn root_certificates() -> RootCerts {
    let file = std::env::var("SSL_CERT_FILE")
        .unwrap_or_else(|_| "/etc/ssl/certs/ca-certificates.crt".into());
    let pem = std::fs::read(file).unwrap_or_default();
    let mut certificates = Vec::new();
    for item in parse_pem(&pem).flatten() {
        if let PemItem::Certificate(certificate) = item {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        RootCerts::WebPki
    } else {
        RootCerts::new_with_certs(&certificates)
    }
}

/// How many bytes of all downloads together are there.
pub(super) struct Progress<'a> {
    what: &'static str,
    total: u64,
    done: AtomicU64,
    events: &'a Events,
}

impl<'a> Progress<'a> {
    pub(super) fn new(what: &'static str, total: u64, events: &'a Events) -> Self {
        Self {
            what,
            total,
            done: AtomicU64::new(0),
            events,
        }
    }

    pub(super) fn add(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        self.events.emit(Event::Progress {
            what: self.what.into(),
            done,
            total: self.total,
        });
    }

    /// Takes back what was counted of an attempt that failed.
    fn remove(&self, bytes: u64) {
        self.done.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
