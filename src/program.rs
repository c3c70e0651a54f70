//! Where programs are.

use std::path::PathBuf;

use camino::Utf8PathBuf;

/// Where system programs are, and Go's own archive is unpacked, also where a user's `PATH` does not say so: after `su`,
/// Debian's lacks the half of them.
const ALSO: [&str; 5] = [
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
    "/usr/local/go/bin",
];

/// Where programs are looked for, in order.
fn search_path() -> impl Iterator<Item = PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let users: Vec<_> = std::env::split_paths(&path)
        .filter(|place| place.is_absolute())
        .collect();
    let also = ALSO.map(PathBuf::from).into_iter();
    let also: Vec<_> = also.filter(|place| !users.contains(place)).collect();
    users.into_iter().chain(also)
}

/// Has all that this process starts find them there, whatever the user's `PATH` is. To be called before there is a second
/// thread.
#[expect(unsafe_code, reason = "the environment is the process's")]
pub fn complete_path() {
    if let Ok(path) = std::env::join_paths(search_path()) {
        // SAFETY: nobody else reads or writes the environment, since there is no other thread.
        unsafe { std::env::set_var("PATH", path) };
    }
}

/// Where a program is.
pub(crate) fn find(program: &str) -> Option<Utf8PathBuf> {
    search_path()
        .filter_map(|place| Utf8PathBuf::from_path_buf(place.join(program)).ok())
        .find(|candidate| candidate.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn system_programs_are_found_and_what_is_no_file_is_not() {
        assert!(find("mount").is_some_and(|path| path.is_absolute()));
        assert_eq!(find("no-such-program"), None);
        assert_eq!(find(""), None);
    }
}
