use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::*;

/// A mirror on the loopback interface that gives every request the same answer, and counts them.
struct Mirror {
    base: String,
    asked: Arc<AtomicUsize>,
}

impl Mirror {
    fn answering(status: &'static str, length: usize, body: &'static [u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let base = format!("http://{}/debian", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines();
                lines
                    .map_while(Result::ok)
                    .take_while(|line| !line.is_empty())
                    .for_each(drop);
                counter.fetch_add(1, Ordering::Relaxed);
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
                );
                // The client may have seen enough and gone.
                let _ = stream
                    .write_all(head.as_bytes())
                    .and_then(|()| stream.write_all(body));
            }
        });
        Self { base, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }
}

const BODY: &[u8] = b"package";

fn fetch(bases: &[&str]) -> (Result<(), FetchError>, Option<Vec<u8>>) {
    let directory = tempfile::tempdir().unwrap();
    let out = Utf8Path::from_path(directory.path()).unwrap().join("out");
    let fetcher = Fetcher::new(Mirrors::new(bases.iter().copied()).unwrap()).unwrap();
    let download = Download {
        file: "pool/p.deb".into(),
        size: BODY.len() as u64,
        sha256: Sha256::of(BODY),
    };
    let events = Events::none();
    let progress = Progress::new("test", download.size, &events);
    let result = fetcher.fetch(&download, &out, &progress);
    (result, std::fs::read(out).ok())
}

#[test]
fn the_first_mirror_that_has_a_file_is_enough() {
    let absent = Mirror::answering("404 Not Found", 0, b"");
    let good = Mirror::answering("200 OK", BODY.len(), BODY);
    let never = Mirror::answering("200 OK", BODY.len(), BODY);
    let (result, content) = fetch(&[&absent.base, &good.base, &never.base]);
    result.unwrap();
    assert_eq!(content.as_deref(), Some(BODY));
    assert_eq!([absent.asked(), good.asked(), never.asked()], [1, 1, 0]);
}

#[test]
fn a_file_that_has_left_every_mirror_names_the_ways_out() {
    let absent = [
        Mirror::answering("404 Not Found", 0, b""),
        Mirror::answering("410 Gone", 0, b""),
    ];
    let error = fetch(&[&absent[0].base, &absent[1].base]).0.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, FetchError::Gone { .. }), "{text}");
    for part in [
        "pool/p.deb",
        &absent[0].base,
        &absent[1].base,
        "regent lock --update",
        "REGENT_DEBIAN_MIRRORS",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn another_content_is_never_taken() {
    let wrong = Mirror::answering("200 OK", 7, b"PACKAGE");
    let long = Mirror::answering("200 OK", 11, b"package and");
    for bases in [[wrong.base.as_str()], [long.base.as_str()]] {
        let error = fetch(&bases).0.unwrap_err();
        assert!(matches!(error, FetchError::Mismatch { .. }), "{error}");
    }
    let good = Mirror::answering("200 OK", BODY.len(), BODY);
    fetch(&[&wrong.base, &good.base]).0.unwrap();
}

#[test]
fn trouble_is_tried_again_and_then_named() {
    let short = Mirror::answering("200 OK", BODY.len(), b"pack");
    let ill = Mirror::answering("503 Service Unavailable", 0, b"");
    let error = fetch(&[&short.base, &ill.base]).0.unwrap_err();
    assert_eq!([short.asked(), ill.asked()], [ATTEMPTS as usize; 2]);
    assert!(
        matches!(&error, FetchError::Unreachable { last, .. } if last.contains("503")),
        "{error}"
    );
}
