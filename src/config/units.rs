//! Values with units, as people write them: `30s`, `1m 30s`, `64MiB`.

use std::time::Duration;

/// Reads `250ms`, `30s`, `15m`, `2h`, `90d`, and several of them one after another.
///
/// None for anything else, and for more than about 580 million years.
pub fn duration(text: &str) -> Option<Duration> {
    let mut total_ms: u64 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, unit, behind) = number_and_unit(rest)?;
        let unit_ms = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" | "min" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            _ => return None,
        };
        total_ms = total_ms.checked_add(number.checked_mul(unit_ms)?)?;
        rest = behind.trim_start();
    }
    Some(Duration::from_millis(total_ms))
}

/// Reads `512B`, `64KiB`, `64MiB`, `2GiB`, and the thousands `kB`, `MB`, `GB`; none for anything else.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let (number, unit, behind) = number_and_unit(text.trim())?;
    let unit_bytes = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "kB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return None,
    };
    if behind.is_empty() { number.checked_mul(unit_bytes) } else { None }
}

fn number_and_unit(text: &str) -> Option<(u64, &str, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, behind) = text.split_at(digits);
    let behind = behind.trim_start();
    let letters = behind.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (unit, behind) = behind.split_at(letters);
    Some((number.parse().ok()?, unit, behind))
}

/// A duration in the form in which [`duration`] reads it.
pub(super) fn show_duration(span: Duration) -> String {
    let millis = span.as_millis();
    for (unit_ms, unit) in [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")] {
        if millis >= unit_ms && millis.is_multiple_of(unit_ms) {
            return format!("{}{unit}", millis / unit_ms);
        }
    }
    format!("{millis}ms")
}

/// A size in the form in which [`bytes`] reads it.
pub(super) fn show_bytes(size: u64) -> String {
    for (unit_bytes, unit) in [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")] {
        if size >= unit_bytes && size.is_multiple_of(unit_bytes) {
            return format!("{}{unit}", size / unit_bytes);
        }
    }
    format!("{size}B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_show() {
        for (text, millis, shown) in [
            ("250ms", 250, "250ms"),
            ("30s", 30_000, "30s"),
            ("1m 30s", 90_000, "90s"),
            ("1m30s", 90_000, "90s"),
            (" 2 h ", 7_200_000, "2h"),
            ("90d", 7_776_000_000, "90d"),
        ] {
            let span = duration(text).unwrap();
            assert_eq!(span, Duration::from_millis(millis), "{text}");
            assert_eq!(show_duration(span), shown);
        }
        for text in ["", "30", "s", "1.5h", "-1s", "1y", "99999999999999999999s", "9999999999999999999d"] {
            assert_eq!(duration(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_read_and_show() {
        assert_eq!(bytes("64MiB"), Some(64 << 20));
        assert_eq!(bytes("2 kB"), Some(2_000));
        assert_eq!(show_bytes(64 << 20), "64MiB");
        assert_eq!(show_bytes(1_000), "1000B");
        for text in ["", "64", "64M", "1MiB 2KiB", "99999999999999999999B", "99999999999999GiB"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }
}
