//! "Did you mean …?"

/// Other tools' words for what `cluster.yaml` has a word of its own for.
const SYNONYMS: &[(&str, &str)] = &[
    ("cp", "controlPlane"),
    ("masters", "controlPlane"),
    ("master", "controlPlane"),
    ("controllers", "controlPlane"),
    ("agents", "workers"),
    ("nodes", "workers"),
    ("nodes", "count"),
    ("lb", "loadBalancer"),
    ("haproxy", "loadBalancer"),
    ("version", "kubernetes"),
    ("kubernetesversion", "kubernetes"),
    ("k8s", "kubernetes"),
    ("networking", "network"),
    ("replicas", "count"),
    ("ram", "memory"),
    ("vcpus", "cpus"),
    ("cores", "cpus"),
    ("nodesubnet", "cidr"),
    ("subnet", "cidr"),
    ("podcidr", "podSubnet"),
    ("servicecidr", "serviceSubnet"),
    ("uri", "connect"),
    ("certs", "certificates"),
];

/// The most differences between words that still look like the same word: typing errors are one or two.
const MAX_DISTANCE: usize = 2;

/// The shortest beginning of a word that stands for the word.
const MIN_PREFIX: usize = 3;

/// The candidate that `word` probably meant: the same but for case, `-` and `_`; another tool's word for it; its
/// beginning; or a typing error or two away, fewer than half of its letters.
pub(super) fn closest<'c>(
    word: &str,
    candidates: impl Iterator<Item = &'c str>,
) -> Option<&'c str> {
    let plain = |word: &str| word.replace(['-', '_'], "").to_lowercase();
    let wanted = plain(word);
    candidates
        .filter_map(|candidate| {
            let own = plain(candidate);
            let distance = if SYNONYMS.contains(&(&wanted, candidate)) {
                0
            } else if wanted.len() >= MIN_PREFIX && own.starts_with(&wanted) {
                1
            } else {
                strsim::damerau_levenshtein(&wanted, &own)
            };
            (distance <= MAX_DISTANCE && distance * 2 < candidate.len())
                .then_some((distance, candidate))
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// Lists words: `a`, `b` and `c`.
pub(super) fn list<'w>(words: impl Iterator<Item = &'w str>, conjunction: &str) -> String {
    let quoted: Vec<_> = words.map(|word| format!("`{word}`")).collect();
    match quoted.as_slice() {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} {conjunction} {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_errors_and_other_words_are_recognised() {
        let keys = [
            "controlPlane",
            "workers",
            "loadBalancer",
            "count",
            "memory",
            "cpus",
        ];
        for (word, meant) in [
            ("controlplane", "controlPlane"),
            ("control-plane", "controlPlane"),
            ("controlPlanes", "controlPlane"),
            ("masters", "controlPlane"),
            ("worker", "workers"),
            ("wrokers", "workers"),
            ("memmory", "memory"),
            ("cpu", "cpus"),
            ("load", "loadBalancer"),
        ] {
            assert_eq!(closest(word, keys.into_iter()), Some(meant), "{word}");
        }
        for word in ["kind", "metadata", "spec", "x", "", "contents"] {
            assert_eq!(closest(word, keys.into_iter()), None, "{word}");
        }
    }
}
