//! Japanese phone numbers in one form, whatever the notation.

/// The number in E.164; none when it is not a number.
///
/// Full-width digits and signs, hyphens of all kinds, brackets, dots and spaces are understood; so are
/// the caller-id prefixes 184 and 186, the international prefixes `010` and `00`, and a trunk `0` that
/// was left behind `+81` by mistake. A number with another country's code is kept as it is.
pub fn normalize(text: &str) -> Option<String> {
    let plain: String = text.chars().filter_map(plain).collect();
    let plain = plain.strip_prefix("184").or_else(|| plain.strip_prefix("186")).unwrap_or(&plain);
    let international =
        plain.strip_prefix('+').or_else(|| plain.strip_prefix("010")).or_else(|| plain.strip_prefix("00"));
    let national = match international {
        Some(digits) => match digits.strip_prefix("81") {
            Some(rest) => rest.strip_prefix('0').unwrap_or(rest),
            None => return foreign(digits),
        },
        None => plain.strip_prefix('0')?,
    };
    let is_national = matches!(national.len(), 9 | 10) && is_digits(national) && !national.starts_with('0');
    is_national.then(|| format!("+81{national}"))
}

fn foreign(digits: &str) -> Option<String> {
    let is_number = (7..=15).contains(&digits.len()) && is_digits(digits) && !digits.starts_with('0');
    is_number.then(|| format!("+{digits}"))
}

fn is_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// A character without its width; none for what only separates digits.
fn plain(letter: char) -> Option<char> {
    match letter {
        '０'..='９' => char::from_u32(u32::from(letter) - u32::from('０') + u32::from('0')),
        '＋' => Some('+'),
        '-' | '‐' | '‑' | '‒' | '–' | '—' | '―' | '−' | '－' | 'ー' | '(' | ')' | '（' | '）' | '.'
        | '．' | '/' | '・' => None,
        letter if letter.is_whitespace() => None,
        letter => Some(letter),
    }
}

#[cfg(test)]
mod tests {
    use super::normalize;

    #[test]
    fn any_common_notation_is_the_same_number() {
        for text in [
            "090-1234-5678",
            "09012345678",
            "+819012345678",
            "+81 90-1234-5678",
            "+81 (0)90 1234 5678",
            "０９０−１２３４−５６７８",
            "０９０ー１２３４ー５６７８",
            "＋８１　９０　１２３４　５６７８",
            "(090) 1234.5678",
            "010819012345678",
            "00819012345678",
            "18609012345678",
        ] {
            assert_eq!(normalize(text).as_deref(), Some("+819012345678"), "{text}");
        }
    }

    #[test]
    fn other_classes_of_numbers_are_known() {
        for (text, number) in [
            ("03(1234)5678", "+81312345678"),
            ("0120-123-456", "+81120123456"),
            ("0800-123-4567", "+818001234567"),
            ("+1 415 555 0100", "+14155550100"),
        ] {
            assert_eq!(normalize(text).as_deref(), Some(number), "{text}");
        }
    }

    #[test]
    fn what_is_no_number_is_none() {
        for text in ["", "110", "anonymous", "090-1234", "09012345678901234567", "+", "call me"] {
            assert_eq!(normalize(text), None, "{text}");
        }
    }
}
