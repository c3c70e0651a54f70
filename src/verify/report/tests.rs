use super::junit::junit;
use super::page::page;
use crate::verify::evidence::{Evidence, pretty};
use crate::verify::fixture::evidence;
use crate::verify::judge::judge;
use crate::verify::summary::{headline, summary};

fn snapshot(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/snapshots/verify"));
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// The good run with a write outage over budget and a write that is gone.
fn failed() -> Evidence {
    let mut evidence = evidence();
    evidence
        .run
        .budgets_ms
        .insert(crate::verify::Budget::WriteOutage, 500);
    evidence.history.stored.as_mut().unwrap().remove(3);
    evidence
}

fn void() -> Evidence {
    let mut evidence = evidence();
    evidence.run.proofs[2].holds = false;
    evidence
}

#[test]
fn the_report_of_a_fixed_run() {
    let evidence = evidence();
    snapshot("report.html", &page(&evidence, &judge(&evidence)).unwrap());
}

#[test]
fn the_verdict_of_a_fixed_run() {
    snapshot("verdict.json", &pretty(&judge(&evidence())));
}

#[test]
fn junit_of_every_ruling() {
    for (name, evidence) in [("pass", evidence()), ("fail", failed()), ("void", void())] {
        snapshot(
            &format!("junit-{name}.xml"),
            &junit(&judge(&evidence)).unwrap(),
        );
    }
}

#[test]
fn words_for_a_terminal() {
    snapshot("summary-pass.txt", &summary(&judge(&evidence())));
    snapshot("summary-fail.txt", &summary(&judge(&failed())));
    assert_eq!(
        headline(&judge(&void())),
        "VOID etcd leader m2 lost power: the fault did not bite: not so that the init process that m2 booted with is gone"
    );
}

#[test]
fn what_others_said_is_escaped() {
    let mut evidence = evidence();
    evidence
        .run
        .sick
        .push("<script>alert(1)</script>".to_owned());
    for event in &mut evidence.events {
        if let crate::verify::Occurrence::Server { reason, .. } = &mut event.what {
            "<b>&".clone_into(reason);
        }
    }
    let html = page(&evidence, &judge(&evidence)).unwrap();
    assert!(!html.contains("<script>") && !html.contains("<b>"));
    assert!(html.contains("&lt;b&gt;&amp;"));
}

#[test]
fn the_report_needs_nothing_else() {
    let evidence = evidence();
    let html = page(&evidence, &judge(&evidence)).unwrap();
    for reference in ["src=", "href=", "url(", "@import", "<script"] {
        assert!(!html.contains(reference), "{reference}");
    }
}

#[test]
fn emulated_times_are_called_so() {
    let mut verdict = judge(&evidence());
    let real = headline(&verdict);
    let versions = &mut verdict.subject.versions;
    versions.insert("accelerator".to_owned(), "emulated".to_owned());
    let said = "(emulated: real machines take other times)";
    assert_eq!(headline(&verdict), format!("{real} {said}"));
    let page = page(&evidence(), &verdict).unwrap();
    assert_eq!(page.matches("(emulated processors)").count(), 6);
    assert!(page.contains(said));
}
