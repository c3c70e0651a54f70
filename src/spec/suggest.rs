//! "Did you mean …?"

/// Other tools' words for what `cluster.yaml` has a word of its own for.
const SYNONYMS: &[(&str, &str)] = &[
    ("cp", "controlPlane"),
    ("masters", "controlPlane"),
    ("master", "controlPlane"),
    ("controllers", "controlPlane"),
    ("agents", "workers"),
    ("nodes", "workers"),
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

/// The candidate that `word` probably meant: the same but for case, `-` and `_`; another tool's word for it; or a
/// typing error or two away, fewer than half of its letters.
pub(super) fn closest<'c>(
    word: &str,
    candidates: impl Iterator<Item = &'c str>,
) -> Option<&'c str> {
    let plain = |word: &str| word.replace(['-', '_'], "").to_lowercase();
    let wanted = plain(word);
    let synonym = SYNONYMS
        .iter()
        .find(|(other, _)| *other == wanted)
        .map(|(_, own)| *own);
    candidates
        .filter_map(|candidate| {
            let distance = if synonym == Some(candidate) {
                0
            } else {
                strsim::damerau_levenshtein(&wanted, &plain(candidate))
            };
            (distance <= MAX_DISTANCE && distance * 2 < candidate.len())
                .then_some((distance, candidate))
        })
        .min()
        .map(|(_, candidate)| candidate)
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
        ] {
            assert_eq!(closest(word, keys.into_iter()), Some(meant), "{word}");
        }
        for word in ["kind", "metadata", "spec", "x", "", "contents"] {
            assert_eq!(closest(word, keys.into_iter()), None, "{word}");
        }
    }
}
