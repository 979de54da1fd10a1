//! RFC 3339 times, in microseconds since the epoch.

const DAY_US: i64 = 86_400_000_000;
/// 0001-01-01T00:00:00Z. The date types of other languages begin here.
const FIRST_US: i64 = -62_135_596_800_000_000;
/// 9999-12-31T23:59:59.999999Z.
pub const LAST_US: i64 = 253_402_300_799_999_999;

/// Parses `YYYY-MM-DDTHH:MM:SS[.digits](Z|+HH:MM|-HH:MM)`; `T` and `Z` may be lower case. Digits
/// beyond the microsecond are truncated. `None` for any other text, for a year outside 1 to 9999
/// in UTC, for a day that does not exist, and for a leap second (`:60`), which Unix time cannot
/// represent. About 10 ns.
#[must_use]
pub fn parse(text: &str) -> Option<i64> {
    let (head, rest) = text.as_bytes().split_first_chunk::<19>()?;
    let local_us = local_us(head)?;
    let (fraction, offset) = fraction_us(rest)?;
    let us = local_us + fraction - offset_seconds(offset)? * 1_000_000;
    (FIRST_US..=LAST_US).contains(&us).then_some(us)
}

/// Parses `YYYY-MM-DDTHH:MM:SS` as if it were UTC.
#[inline]
fn local_us(head: &[u8; 19]) -> Option<i64> {
    let [
        y0,
        y1,
        y2,
        y3,
        b'-',
        m0,
        m1,
        b'-',
        d0,
        d1,
        b'T' | b't',
        time @ ..,
    ] = head
    else {
        return None;
    };
    let [h0, h1, b':', i0, i1, b':', s0, s1] = time else {
        return None;
    };
    let year = two(*y0, *y1)? * 100 + two(*y2, *y3)?;
    let (month, day) = (two(*m0, *m1)?, two(*d0, *d1)?);
    let (hour, minute, second) = (two(*h0, *h1)?, two(*i0, *i1)?, two(*s0, *s1)?);
    if day == 0 || day > days_in(year, month)? || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = hour * 3600 + minute * 60 + second;
    Some(days_since_epoch(year, month, day) * DAY_US + seconds * 1_000_000)
}

fn two(tens: u8, ones: u8) -> Option<i64> {
    let (tens, ones) = (tens.wrapping_sub(b'0'), ones.wrapping_sub(b'0'));
    (tens < 10 && ones < 10).then(|| i64::from(tens * 10 + ones))
}

fn days_in(year: i64, month: i64) -> Option<i64> {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => Some(31),
        4 | 6 | 9 | 11 => Some(30),
        2 => Some(28 + i64::from(leap)),
        _ => None,
    }
}

/// Days from 1970-01-01 in the Gregorian calendar. Years start in March, so that the leap day is
/// the last day of a year.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    year * 365 + leap_days + day_of_year - 719_468
}

/// Parses the optional fraction. Returns it in microseconds, with the rest of the text.
fn fraction_us(text: &[u8]) -> Option<(i64, &[u8])> {
    let Some((b'.', digits)) = text.split_first() else {
        return Some((0, text));
    };
    let count = digits.iter().position(|byte| !byte.is_ascii_digit())?;
    if count == 0 {
        return None;
    }
    let precision = count.min(6);
    let value = digits[..precision]
        .iter()
        .fold(0, |sum, byte| sum * 10 + i64::from(byte - b'0'));
    Some((value * POWERS[6 - precision], &digits[count..]))
}

const POWERS: [i64; 6] = [1, 10, 100, 1_000, 10_000, 100_000];

fn offset_seconds(text: &[u8]) -> Option<i64> {
    let (sign, offset) = match text {
        [b'Z' | b'z'] => return Some(0),
        [b'+', offset @ ..] => (1, offset),
        [b'-', offset @ ..] => (-1, offset),
        _ => return None,
    };
    let [h0, h1, b':', m0, m1] = offset else {
        return None;
    };
    offset_digits(*h0, *h1, *m0, *m1).map(|seconds| sign * seconds)
}

/// The seconds of an offset of hours and minutes.
pub(super) fn offset_digits(h0: u8, h1: u8, m0: u8, m1: u8) -> Option<i64> {
    let (hours, minutes) = (two(h0, h1)?, two(m0, m1)?);
    (hours <= 23 && minutes <= 59).then_some(hours * 3600 + minutes * 60)
}

/// Whether the text is one or more digits.
pub(super) fn is_fraction(digits: &[u8]) -> bool {
    !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
}

/// The time of `YYYY-MM-DD?HH:MM`, two digits of seconds, the digits of a fraction, and an offset in
/// seconds.
pub(super) fn civil_us(
    head: &[u8; 16],
    seconds: [u8; 2],
    fraction: &[u8],
    offset_s: i64,
) -> Option<i64> {
    let mut text = [b'T'; 19];
    text[..10].copy_from_slice(&head[..10]);
    text[11..16].copy_from_slice(&head[11..]);
    text[16] = b':';
    text[17..].copy_from_slice(&seconds);
    let (fraction, _) = fraction_us(&[b".", fraction, b"Z"].concat())?;
    let us = local_us(&text)? + fraction - offset_s * 1_000_000;
    (FIRST_US..=LAST_US).contains(&us).then_some(us)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn times_have_microsecond_precision() {
        for (text, us) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1969-12-31T23:59:59.5Z", -500_000),
            ("2000-02-29T12:00:00Z", 951_825_600_000_000),
            ("2026-11-20T13:30:00.123456789+02:00", 1_795_174_200_123_456),
            ("2026-11-20t13:30:00.1z", 1_795_181_400_100_000),
            ("2026-11-20T13:30:00-00:00", 1_795_181_400_000_000),
            ("0001-01-01T00:00:00Z", super::FIRST_US),
            ("9999-12-31T23:59:59.9999999Z", super::LAST_US),
        ] {
            assert_eq!(parse(text), Some(us), "{text}");
        }
    }

    #[test]
    fn a_date_that_does_not_exist_is_invalid() {
        for text in [
            "2026-02-29T00:00:00Z",
            "1900-02-29T00:00:00Z",
            "2026-04-31T00:00:00Z",
            "2026-00-01T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-01-00T00:00:00Z",
            "2026-01-01T24:00:00Z",
            "2026-01-01T00:60:00Z",
            "2016-12-31T23:59:60Z",
            "0000-12-31T00:00:00Z",
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn another_format_is_invalid() {
        for text in [
            "",
            "2026-01-01",
            "2026-01-01T00:00:00",
            "2026-01-01 00:00:00Z",
            "2026-01-01T00:00Z",
            "2026-01-01T00:00:00.Z",
            "2026-01-01T00:00:00.1",
            "2026-01-01T00:00:00,1Z",
            "2026-01-01T00:00:00+0100",
            "2026-01-01T00:00:00+01",
            "2026-01-01T00:00:00+24:00",
            "2026-01-01T00:00:00+01:60",
            "2026-01-01T00:00:00 Z",
            "2026-01-01T00:00:00ZZ",
            "20260101T000000Z",
            "+026-01-01T00:00:00Z",
            "２026-01-01T00:00:00Z",
            "2026-W01-1T00:00:00Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
