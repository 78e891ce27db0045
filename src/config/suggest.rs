//! "did you mean …?"

/// The candidate that is nearest to `word`, if it is near enough to have been meant.
pub(super) fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let nearness = |candidate: &str| strsim::jaro_winkler(&word, &candidate.to_lowercase());
    // A common beginning alone is not nearness: all our variables begin with OPENAI_ or TWILIO_.
    let is_meant = |candidate: &str| {
        let candidate = candidate.to_lowercase();
        candidate.starts_with(&word) || strsim::normalized_levenshtein(&word, &candidate) >= 0.6
    };
    candidates
        .into_iter()
        .filter(|candidate| is_meant(candidate))
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
        assert_eq!(did_you_mean("OPENAI_ORGANISATION", ["OPENAI_API_KEY"]), None);
        assert_eq!(did_you_mean("weather", ["nightline", "reception"]), None);
    }
}
