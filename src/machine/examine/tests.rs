use super::*;

/// What cannot hold an overlay is said before a lab is made there, and nothing of the trial stays.
#[test]
fn case_state_on_overlay() {
    if !rustix::process::geteuid().is_root() {
        let state = overlay(Utf8Path::new("/proc")).state;
        assert!(matches!(state, State::Doubtful { .. }));
        return;
    }
    let state = overlay(Utf8Path::new("/proc/state/of/labs")).state;
    assert!(matches!(state, State::Missing { .. }), "{state:?}");
    let scratch = tempfile::tempdir_in("/dev/shm").unwrap();
    let directory = Utf8Path::from_path(scratch.path()).unwrap();
    // Where mounting itself is forbidden, as in some sandboxes, there is nothing to be seen here.
    let _ = overlay(directory);
    assert_eq!(fs::read_dir(directory).unwrap().count(), 0);
}
