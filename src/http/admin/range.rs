//! Parts of a file, as HTTP asks for them (RFC 9110, §14): one range of bytes, or the whole.

/// What of a file is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// All of it.
    Whole,
    /// From this byte on, so many.
    Part {
        /// The first byte.
        from: u64,
        /// How many.
        length: u64,
    },
    /// Nothing that it has.
    Nothing,
}

/// Reads the header `Range` of a request for a file of `size` bytes.
///
/// What is not understood, and more than one range, is answered with the whole, as the RFC allows.
pub(super) fn wanted(range: Option<&str>, size: u64) -> Wanted {
    let Some((first, last)) = range.and_then(the_one) else { return Wanted::Whole };
    let (from, until) = match (first, last) {
        // The last bytes.
        (None, Some(0)) => return Wanted::Nothing,
        (None, Some(count)) => (size.saturating_sub(count), size),
        (Some(from), None) => (from, size),
        (Some(from), Some(last)) => (from, last.saturating_add(1).min(size)),
        (None, None) => return Wanted::Whole,
    };
    if from >= size {
        return Wanted::Nothing;
    }
    Wanted::Part { from, length: until - from }
}

/// The ends of the only range of a well-formed header.
fn the_one(range: &str) -> Option<(Option<u64>, Option<u64>)> {
    let (unit, spec) = range.trim().split_once('=')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (first, last) = spec.trim().split_once('-')?;
    let (first, last) = (end(first)?, end(last)?);
    let is_backwards = first.zip(last).is_some_and(|(first, last)| last < first);
    (!is_backwards && (first, last) != (None, None)).then_some((first, last))
}

/// Digits only; a number that is too large is as good as the largest.
fn end(text: &str) -> Option<Option<u64>> {
    match text {
        "" => Some(None),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(Some(digits.parse().unwrap_or(u64::MAX)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_range_is_understood() {
        let part = |from, length| Wanted::Part { from, length };
        for (range, expected) in [
            ("bytes=0-0", part(0, 1)),
            ("bytes=0-99", part(0, 100)),
            ("bytes=0-1000", part(0, 100)),
            ("bytes=0-99999999999999999999999", part(0, 100)),
            ("bytes=10-", part(10, 90)),
            ("bytes=-10", part(90, 10)),
            ("bytes=-1000", part(0, 100)),
            ("BYTES = 99-", Wanted::Whole),
            ("Bytes=99-99", part(99, 1)),
            ("bytes=100-", Wanted::Nothing),
            ("bytes=99999999999999999999999-", Wanted::Nothing),
            ("bytes=-0", Wanted::Nothing),
        ] {
            assert_eq!(wanted(Some(range), 100), expected, "{range}");
        }
    }

    #[test]
    fn what_is_not_understood_gets_the_whole() {
        for range in [
            "",
            "bytes",
            "bytes=",
            "bytes=-",
            "bytes=5-1",
            "bytes=a-b",
            "bytes=+1-2",
            "lines=1-2",
            "bytes=0-1,5-6",
        ] {
            assert_eq!(wanted(Some(range), 100), Wanted::Whole, "{range}");
        }
        assert_eq!(wanted(None, 100), Wanted::Whole);
        assert_eq!(wanted(Some("bytes=0-"), 0), Wanted::Nothing);
    }
}
