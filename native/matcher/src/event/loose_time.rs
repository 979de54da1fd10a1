//! Times in other forms than RFC 3339 that are in use (E20), and the text of a time.

use super::time::{LAST_US, civil_us, is_fraction, offset_digits};

const SECOND_US: i64 = 1_000_000;
/// Numbers below are dates without separators, or no times: 1973-03-03 in seconds.
const LEAST_NUMBER: i64 = 100_000_000;
/// Numbers from here on are milliseconds; in seconds this is the year 5138.
const MILLISECONDS: i64 = 100_000_000_000;
/// Numbers from here on are microseconds.
const MICROSECONDS: i64 = 100_000_000_000_000;

/// Parses `YYYY-MM-DD(T| )HH:MM[:SS[.digits]][ ](Z|UTC|+HH|+HHMM|+HH:MM)`, where a comma may stand
/// for the point, and numbers as in [`parse_number`]. `None` for any other text.
#[cold]
#[must_use]
pub fn parse(text: &str) -> Option<i64> {
    let (head, rest) = text
        .as_bytes()
        .split_first_chunk::<16>()
        .unwrap_or((&[0; 16], b""));
    if !matches!(head[10], b'T' | b't' | b' ') {
        return parse_number(text);
    }
    let (seconds, rest) = match rest {
        [b':', tens, ones, rest @ ..] => ([*tens, *ones], rest),
        _ => (*b"00", rest),
    };
    let (fraction, rest) = match rest {
        [b'.' | b',', digits @ ..] if rest.len() < text.len() - 16 => {
            let count = digits
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .count();
            digits.split_at(count)
        }
        _ => (&b"0"[..], rest),
    };
    let offset = match rest.strip_prefix(b" ").unwrap_or(rest) {
        b"UTC" | b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), digits @ ..] => {
            let size = match digits {
                [h0, h1] => offset_digits(*h0, *h1, b'0', b'0')?,
                [h0, h1, m0, m1] | [h0, h1, b':', m0, m1] => offset_digits(*h0, *h1, *m0, *m1)?,
                _ => return None,
            };
            if *sign == b'-' { -size } else { size }
        }
        _ => return None,
    };
    is_fraction(fraction).then_some(())?;
    civil_us(head, seconds, fraction, offset)
}

/// Parses seconds, milliseconds or microseconds since 1970, distinguished by their size: digits with
/// an optional fraction, of which what is below a microsecond is truncated. `None` for less than
/// 100,000,000, for a time after the year 9999, and for any other text.
#[cold]
#[must_use]
pub fn parse_number(text: &str) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let is_plain = !whole.is_empty() && whole.len() <= 18 && !whole.starts_with('0');
    if !is_plain
        || !whole.bytes().all(|byte| byte.is_ascii_digit())
        || !is_fraction(fraction.as_bytes())
    {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    let unit_us = match whole {
        ..LEAST_NUMBER => return None,
        LEAST_NUMBER..MILLISECONDS => SECOND_US,
        MILLISECONDS..MICROSECONDS => 1_000,
        _ => 1,
    };
    // One digit of the fraction is worth a tenth of the digit before it.
    let mut us = whole * unit_us;
    let mut worth = unit_us / 10;
    for digit in fraction.bytes() {
        us += worth * i64::from(digit - b'0');
        worth /= 10;
    }
    (us <= LAST_US).then_some(us)
}

/// The RFC 3339 text of a time, in UTC with microseconds.
#[cold]
#[must_use]
pub fn text(us: i64) -> String {
    let (seconds, fraction) = (us.div_euclid(SECOND_US), us.rem_euclid(SECOND_US));
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Years start in March, so that the leap day is the last day of a year.
    let from_year_0 = days + 719_468;
    let era = from_year_0.div_euclid(146_097);
    let day = from_year_0.rem_euclid(146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 {
        from_march + 3
    } else {
        from_march - 9
    };
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!(
        "{year:04}-{month:02}-{day_of_month:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z"
    )
}

#[cfg(test)]
mod tests {
    use super::{parse, parse_number, text};
    use crate::event::time;

    const NOON: i64 = 1_795_176_000_000_000;

    #[test]
    fn the_forms_in_use_are_read_as_their_rfc_3339_form() {
        for (written, rfc_3339) in [
            ("2026-11-20T12:00:00+0000", "2026-11-20T12:00:00Z"),
            ("2026-11-20T12:00:00+00", "2026-11-20T12:00:00Z"),
            ("2026-11-20T12:00:00-0530", "2026-11-20T12:00:00-05:30"),
            ("2026-11-20 12:00:00Z", "2026-11-20T12:00:00Z"),
            ("2026-11-20 12:00:00 UTC", "2026-11-20T12:00:00Z"),
            ("2026-11-20 12:00:00 +0200", "2026-11-20T12:00:00+02:00"),
            (
                "2026-11-20 12:00:00.123456+00",
                "2026-11-20T12:00:00.123456Z",
            ),
            ("2026-11-20T12:00:00,5Z", "2026-11-20T12:00:00.5Z"),
            ("2026-11-20T12:00Z", "2026-11-20T12:00:00Z"),
            ("2026-11-20t12:00+01:00", "2026-11-20T12:00:00+01:00"),
            ("1795176000", "2026-11-20T12:00:00Z"),
            ("1795176000.25", "2026-11-20T12:00:00.25Z"),
            ("1795176000123", "2026-11-20T12:00:00.123Z"),
            ("1795176000123.4567", "2026-11-20T12:00:00.1234567Z"),
            ("1795176000123456", "2026-11-20T12:00:00.123456Z"),
            ("100000000", "1973-03-03T09:46:40Z"),
        ] {
            let expected = time::parse(rfc_3339);
            assert!(expected.is_some(), "{rfc_3339}");
            assert_eq!(parse(written), expected, "{written}");
        }
    }

    #[test]
    fn a_time_without_an_offset_and_any_other_text_is_invalid() {
        for written in [
            "",
            " ",
            "2026",
            "20261120",
            "99999999",
            "2026-11-20",
            "2026-11-20T12:00:00",
            "2026-11-20 12:00",
            "2026-11-20T12Z",
            "2026-11-20T12:00:0Z",
            "2026-11-20T12:00.5Z",
            "2026-11-20T12:00:00.Z",
            "2026-11-20T12:00:00  Z",
            "2026-11-20T12:00:00+1",
            "2026-11-20T12:00:00+24",
            "2026-11-20T12:00:00+0060",
            "2026-11-20T12:00:00+00:",
            "2026-11-20T12:00:00 EST",
            "2026-11-31T12:00:00+0000",
            "2026-11-20T24:00:00+0000",
            "2026-11-20T12:00:00 é",
            "-1795176000",
            "+1795176000",
            "1.7e9",
            "1795176000.",
            ".5",
            "01795176000",
            "999999999999999999",
            "9223372036854775808",
            "\u{665}795176000",
        ] {
            assert_eq!(parse(written), None, "{written}");
        }
    }

    #[test]
    fn a_number_is_a_time_of_any_unit_and_its_text_is_rfc_3339() {
        assert_eq!(parse_number("1795176000"), Some(NOON));
        assert_eq!(parse_number("2026-11-20 12:00:00Z"), None);
        for (us, expected) in [
            (NOON, "2026-11-20T12:00:00.000000Z"),
            (NOON - 1, "2026-11-20T11:59:59.999999Z"),
            (-1, "1969-12-31T23:59:59.999999Z"),
            (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
            (time::LAST_US, "9999-12-31T23:59:59.999999Z"),
        ] {
            assert_eq!(text(us), expected);
            assert_eq!(time::parse(expected), Some(us));
        }
    }
}
