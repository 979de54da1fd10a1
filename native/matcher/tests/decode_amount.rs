//! Amounts are exact rational numbers.

use std::cmp::Ordering;

use goald_matcher::event::amount::Amount;
use proptest::prelude::*;

fn parts(amount: Option<Amount>) -> Option<(i64, u16)> {
    amount.map(|amount| (amount.mantissa, amount.scale))
}

#[test]
fn decimal_strings_are_parsed_exactly() {
    let zeros = "0".repeat(1000);
    for (text, expected) in [
        ("0", Some((0, 0))),
        ("-0", Some((0, 0))),
        ("007.50", Some((750, 2))),
        ("-12.3", Some((-123, 1))),
        ("999999999999999999", Some((999_999_999_999_999_999, 0))),
        ("0.999999999999999999", Some((999_999_999_999_999_999, 18))),
        ("0.000000000000000000000001", Some((1, 24))),
        (&format!("{zeros}1"), Some((1, 0))),
        (&format!("0.{zeros}1"), Some((1, 1001))),
        ("1000000000000000000", None),
        ("1.000000000000000000", None),
        ("12345678901234567890123", None),
        ("", None),
        ("-", None),
        (".", None),
        (".5", None),
        ("5.", None),
        ("+5", None),
        ("--5", None),
        ("1e2", None),
        ("1e1000000", None),
        ("1_000", None),
        ("1,5", None),
        ("1.2.3", None),
        (" 1", None),
        ("1 ", None),
        ("NaN", None),
        ("Infinity", None),
        ("0x10", None),
        ("１２", None),
    ] {
        assert_eq!(parts(Amount::parse(text)), expected, "{text:.40}");
    }
}

#[test]
fn floats_are_rounded_half_even_to_four_decimals() {
    for (value, expected) in [
        (0.0, Some((0, 0))),
        (-0.0, Some((0, 0))),
        (19.99, Some((1999, 2))),
        (-19.5, Some((-195, 1))),
        (0.1 + 0.2, Some((3000, 4))),
        (0.00005, Some((0, 4))),
        (0.00015, Some((2, 4))),
        (0.00025, Some((2, 4))),
        (0.000_250_000_1, Some((3, 4))),
        (-0.00035, Some((-4, 4))),
        (1.99995, Some((20_000, 4))),
        (5e-324, Some((0, 0))),
        (1e15, Some((1_000_000_000_000_000, 0))),
        (
            123_456_789_012_345_680.0,
            Some((123_456_789_012_345_680, 0)),
        ),
        (1e17, Some((100_000_000_000_000_000, 0))),
        (1e18, None),
        (1e300, None),
        (f64::NAN, None),
        (f64::INFINITY, None),
        (f64::NEG_INFINITY, None),
    ] {
        assert_eq!(parts(Amount::from_f64(value)), expected, "{value}");
    }
}

#[test]
fn json_numbers_are_exact_as_integers_and_floats_otherwise() {
    for (text, expected) in [
        ("100", Some((100, 0))),
        ("-7", Some((-7, 0))),
        ("1.0", Some((1, 0))),
        ("1e2", Some((100, 0))),
        ("1.5E+1", Some((15, 0))),
        ("25e-1", Some((25, 1))),
        ("-0.0", Some((0, 0))),
        ("0.12345", Some((1234, 4))),
        ("0.30000000000000004", Some((3000, 4))),
        ("1234567890123456789", None),
        ("999999999999999999", Some((999_999_999_999_999_999, 0))),
        ("1e18", None),
        ("1e400", None),
    ] {
        assert_eq!(parts(Amount::from_json(text)), expected, "{text}");
    }
}

#[test]
fn integers_of_more_than_18_digits_are_invalid() {
    assert_eq!(
        parts(Amount::from_i64(-999_999_999_999_999_999)),
        Some((-999_999_999_999_999_999, 0))
    );
    assert_eq!(Amount::from_i64(i64::MIN), None);
    assert_eq!(Amount::from_i64(1_000_000_000_000_000_000), None);
    assert_eq!(parts(Amount::from_u64(7)), Some((7, 0)));
    assert_eq!(Amount::from_u64(u64::MAX), None);
}

fn amount() -> impl Strategy<Value = Amount> {
    let bound = 10_i64.pow(18);
    let mantissa = prop_oneof![-bound + 1..bound, -100..100_i64, Just(0)];
    let scale = prop_oneof![0..6_u16, 0..60_u16];
    (mantissa, scale).prop_map(|(mantissa, scale)| Amount { mantissa, scale })
}

/// The sign of an amount, and its digits scaled to `scale` decimals and padded, so that they
/// compare as text.
fn as_rational(amount: Amount, scale: u16) -> (i64, String) {
    let zeros = "0".repeat(usize::from(scale - amount.scale));
    (
        amount.mantissa.signum(),
        format!(
            "{:0>80}",
            format!("{}{zeros}", amount.mantissa.unsigned_abs())
        ),
    )
}

proptest! {
    #[test]
    fn amounts_compare_as_rational_numbers(a in amount(), b in amount()) {
        let scale = a.scale.max(b.scale);
        let ((sign_a, digits_a), (sign_b, digits_b)) = (as_rational(a, scale), as_rational(b, scale));
        let expected = sign_a.cmp(&sign_b).then(match sign_a {
            0 => Ordering::Equal,
            1 => digits_a.cmp(&digits_b),
            _ => digits_b.cmp(&digits_a),
        });
        prop_assert_eq!(a.cmp(&b), expected);
        prop_assert_eq!(b.cmp(&a), expected.reverse());
        prop_assert_eq!(a == b, expected == Ordering::Equal);
        prop_assert_eq!(a.partial_cmp(&b), Some(expected));
    }

    #[test]
    fn the_fast_path_for_json_text_agrees_with_the_float(
        whole in 0_u64..1_000_000_000_000,
        fraction in "[0-9]{1,8}",
    ) {
        let text = format!("{whole}.{fraction}");
        prop_assert_eq!(Amount::from_json(&text), Amount::from_f64(text.parse().unwrap()));
    }

    #[test]
    fn no_text_panics(text in "[-+0-9.eE]{0,30}|\\PC{0,12}") {
        let _ = Amount::parse(&text);
        let _ = Amount::from_json(&text);
    }
}
