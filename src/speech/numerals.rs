//! Numbers written with Chinese characters, as digits, where that has one meaning.
//!
//! `二十三日` and `〇三の一二三四` are numbers. A single numeral (`一緒`, `千葉`) is one only behind `第` or before a
//! counter (`三時`, `百円`); what does not fit together (`万一`, `二〇十`) stays as it is.

/// What is counted with: a single numeral before one of these is a number.
const COUNTERS: &str =
    "時分秒日月年円番号名人個本回件点枚歳才丁階週泊台杯匹冊通便度倍割部章条項区つヶケかカ箇";

/// The most characters of one number; longer runs stay as they are.
const RUN_CHARS_MAX: usize = 40;

/// The text with its numbers in digits.
pub(super) fn to_arabic(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let mut arabic = String::with_capacity(text.len());
    let mut at = 0;
    while at < letters.len() {
        let run = letters[at..].iter().take_while(|letter| is_numeral(**letter)).count();
        if run == 0 {
            arabic.push(letters[at]);
            at += 1;
            continue;
        }
        let (before, after) = (at.checked_sub(1).map(|at| letters[at]), letters.get(at + run).copied());
        let written = &letters[at..at + run];
        match number(written, before, after) {
            Some(digits) => arabic.push_str(&digits),
            None => arabic.extend(written),
        }
        at += run;
    }
    arabic
}

fn number(run: &[char], before: Option<char>, after: Option<char>) -> Option<String> {
    // `1.5万`: what is before the point belongs to it, too.
    if run.len() > RUN_CHARS_MAX || before == Some('.') {
        return None;
    }
    let is_counted = before == Some('第') || after.is_some_and(|after| COUNTERS.contains(after));
    if run.len() == 1 && !is_counted {
        return None;
    }
    if run.iter().all(|letter| digit(*letter).is_some()) {
        return run
            .iter()
            .map(|letter| digit(*letter).and_then(|digit| char::from_digit(digit, 10)))
            .collect();
    }
    value(run).map(|value| value.to_string())
}

/// What a number with `十`, `百`, `千`, `万`, `億` or `兆` in it is.
fn value(run: &[char]) -> Option<u64> {
    let (mut total, mut section, mut coefficient) = (0u64, 0u64, None::<u64>);
    let (mut small_before, mut large_before) = (u64::MAX, u64::MAX);
    let mut is_ascii_before = false;
    for &letter in run {
        let is_ascii = letter.is_ascii_digit();
        if let Some(digit) = digit(letter).map(u64::from) {
            coefficient = match coefficient {
                None if digit > 0 => Some(digit),
                Some(tens) if is_ascii && is_ascii_before => Some(tens.checked_mul(10)?.checked_add(digit)?),
                _ => return None,
            };
        } else if let Some(unit) = small(letter) {
            let times = coefficient.take().unwrap_or(1);
            if unit >= small_before || times > 9 {
                return None;
            }
            section = section.checked_add(times * unit)?;
            small_before = unit;
        } else {
            let unit = large(letter)?;
            let times = section.checked_add(coefficient.take().unwrap_or(0))?;
            if unit >= large_before || times == 0 {
                return None;
            }
            total = total.checked_add(times.checked_mul(unit)?)?;
            (section, small_before, large_before) = (0, u64::MAX, unit);
        }
        is_ascii_before = is_ascii;
    }
    total.checked_add(section)?.checked_add(coefficient.unwrap_or(0))
}

fn is_numeral(letter: char) -> bool {
    digit(letter).is_some() || small(letter).is_some() || large(letter).is_some()
}

fn digit(letter: char) -> Option<u32> {
    const DIGITS: [char; 10] = ['〇', '一', '二', '三', '四', '五', '六', '七', '八', '九'];
    match letter {
        '零' => Some(0),
        _ => letter
            .to_digit(10)
            .or_else(|| (0..).zip(DIGITS).find(|(_, known)| *known == letter).map(|(at, _)| at)),
    }
}

fn small(letter: char) -> Option<u64> {
    match letter {
        '十' => Some(10),
        '百' => Some(100),
        '千' => Some(1_000),
        _ => None,
    }
}

fn large(letter: char) -> Option<u64> {
    match letter {
        '万' => Some(10_000),
        '億' => Some(100_000_000),
        '兆' => Some(1_000_000_000_000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_digits() {
        for (written, expected) in [
            ("十", "十"),
            ("十時", "10時"),
            ("二十三日", "23日"),
            ("百二十", "120"),
            ("三千八百円", "3800円"),
            ("一万二千三百四十五", "12345"),
            ("一億二千万", "120000000"),
            ("二〇二六年", "2026年"),
            ("〇三", "03"),
            ("零三", "03"),
            ("3万", "30000"),
            ("25万5千円", "255000円"),
            ("第一", "第1"),
            ("三名様", "3名様"),
            ("0312", "0312"),
        ] {
            assert_eq!(to_arabic(written), expected, "{written}");
        }
    }

    #[test]
    fn what_may_be_a_word_stays() {
        for word in
            ["一緒", "千葉", "三井", "万一", "二〇十", "十百", "数万", "1.5万", "二五万", "〇百", "1万05"]
        {
            assert_eq!(to_arabic(word), word);
        }
        let long = "一".repeat(RUN_CHARS_MAX + 1);
        assert_eq!(to_arabic(&long), long);
        assert_eq!(to_arabic("99999999999兆"), "99999999999兆", "too large to be said");
    }

    proptest! {
        #[test]
        fn no_run_is_too_odd(text in "[〇零一二三四五六七八九十百千万億兆0-9.第円]{0,60}") {
            to_arabic(&text);
        }
    }
}
