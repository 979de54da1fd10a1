//! Exact decimals of any length, which are only compared.

use std::cmp::Ordering;

/// A number as its significant digits and the power of ten of the first one. Zero has no digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal {
    is_negative: bool,
    /// 0.d1d2d3… x 10^exponent; the first and the last digit are not zero.
    exponent: i64,
    digits: Box<[u8]>,
}

impl Decimal {
    /// Parses the text of a JSON number, or a decimal without an exponent. `None` for other texts,
    /// and for exponents beyond a million.
    pub fn parse(text: &str) -> Option<Decimal> {
        let (is_negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let (number, power) = match rest.split_once(['e', 'E']) {
            Some((number, power)) => (number, power.parse::<i64>().ok()?),
            None => (rest, 0),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let mut all = whole.bytes().chain(fraction.bytes());
        if whole.is_empty() || power.abs() > 1_000_000 || !all.all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let digits: Vec<u8> = whole.bytes().chain(fraction.bytes()).collect();
        let leading = digits.iter().take_while(|digit| **digit == b'0').count();
        let trailing = digits
            .iter()
            .rev()
            .take_while(|digit| **digit == b'0')
            .count();
        if leading == digits.len() {
            return Some(Decimal {
                is_negative: false,
                exponent: 0,
                digits: Box::default(),
            });
        }
        Some(Decimal {
            is_negative,
            exponent: whole.len() as i64 - leading as i64 + power,
            digits: digits[leading..digits.len() - trailing].into(),
        })
    }

    fn sign(&self) -> i8 {
        match (self.digits.is_empty(), self.is_negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        }
    }
}

impl Ord for Decimal {
    fn cmp(&self, other: &Decimal) -> Ordering {
        let by_size = || {
            let size = self.exponent.cmp(&other.exponent);
            let size = size.then_with(|| self.digits.cmp(&other.digits));
            if self.is_negative {
                size.reverse()
            } else {
                size
            }
        };
        self.sign().cmp(&other.sign()).then_with(by_size)
    }
}

impl PartialOrd for Decimal {
    fn partial_cmp(&self, other: &Decimal) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(first: &str, second: &str) -> Ordering {
        let parse = |text| Decimal::parse(text).expect("a decimal");
        let ordering = parse(first).cmp(&parse(second));
        assert_eq!(parse(second).cmp(&parse(first)), ordering.reverse());
        ordering
    }

    #[test]
    fn decimals_are_compared_by_value() {
        for (first, second) in [
            ("1.50", "1.5"),
            ("0", "-0.00"),
            ("1e3", "1000"),
            ("0.012e2", "1.2"),
        ] {
            assert_eq!(compared(first, second), Ordering::Equal, "{first} {second}");
        }
        let less = [
            ("9", "10"),
            ("-10", "-9"),
            ("-1", "0"),
            ("0", "0.001"),
            ("0.0999", "0.1"),
            ("1.23", "1.234"),
            ("-1.234", "-1.23"),
            ("99999999999999999999999998", "99999999999999999999999999"),
        ];
        for (first, second) in less {
            assert_eq!(compared(first, second), Ordering::Less, "{first} {second}");
        }
    }

    #[test]
    fn other_texts_are_no_decimals() {
        for text in ["", "-", ".5", "1_0", "NaN", "1e", "0x1", "1e9999999", "١"] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }
}
