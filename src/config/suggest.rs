//! "did you mean …?"

/// The candidate that is nearest to `word`, if it is near enough to have been meant.
pub(super) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let nearness = |candidate: &str| strsim::jaro_winkler(&word.to_lowercase(), &candidate.to_lowercase());
    candidates
        .into_iter()
        .map(|candidate| (nearness(candidate), candidate))
        .filter(|(near, _)| *near >= 0.8)
        .max_by(|(left, _), (right, _)| left.total_cmp(right))
        .map(|(_, candidate)| candidate)
}

/// The words as a list for people: `a`, `b`, `c`.
pub(super) fn list<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    words.into_iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_near_is_suggested() {
        assert_eq!(did_you_mean("recption", ["nightline", "reception"]), Some("reception"));
        assert_eq!(did_you_mean("sesion", ["session", "extends"]), Some("session"));
        assert_eq!(did_you_mean("weather", ["nightline", "reception"]), None);
    }
}
