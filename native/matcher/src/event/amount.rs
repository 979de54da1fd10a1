//! Exact decimals of at most 18 significant digits.

use std::cmp::Ordering;

use super::limits::AMOUNT_DIGITS;

/// One more than the greatest mantissa.
const BOUND: u64 = 10_u64.pow(AMOUNT_DIGITS);
/// Decimals to which a float is rounded.
const FLOAT_DECIMALS: u32 = 4;

/// `mantissa` x 10^-`scale`, compared as a rational number: 1.50 equals 1.5. Sixteen bytes. A
/// comparison takes one integer comparison if the scales are equal, otherwise one i128 product.
#[derive(Debug, Clone, Copy)]
pub struct Amount {
    pub mantissa: i64,
    pub scale: u16,
}

impl Amount {
    /// Parses a decimal string, `-?digits(.digits)?` in ASCII, exactly. `None` for any other
    /// text, or with more than 18 significant digits. Trailing zeros are significant.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = sign(text.as_bytes());
        let decimal = Decimal::read(digits)?;
        if decimal.exponent.is_some() || decimal.dropped > 0 {
            return None;
        }
        Self::signed(negative, decimal.mantissa, decimal.decimals)
    }

    /// Parses a JSON number: exactly if it has neither a fraction nor an exponent, otherwise as
    /// a float.
    #[must_use]
    pub fn from_json(text: &str) -> Option<Self> {
        if !text.bytes().any(|byte| matches!(byte, b'.' | b'e' | b'E')) {
            return Self::parse(text);
        }
        // A decimal of at most 15 digits is the shortest text of the float nearest to it, so
        // that the conversion to a float and back would have the same result.
        let (negative, digits) = sign(text.as_bytes());
        let decimal = Decimal::read(digits)?;
        if decimal.exponent.is_none() && decimal.digits <= 15 {
            return Self::rounded(negative, decimal.mantissa, -i32::from(decimal.decimals));
        }
        Self::from_f64(text.parse().ok()?)
    }

    /// Converts a float by its shortest decimal text, rounded half-even to 4 decimals (E2).
    #[must_use]
    pub fn from_f64(value: f64) -> Option<Self> {
        if !value.is_finite() {
            return None;
        }
        let mut buffer = zmij::Buffer::new();
        let (negative, digits) = sign(buffer.format_finite(value).as_bytes());
        let decimal = Decimal::read(digits)?;
        let exponent = decimal.exponent.unwrap_or(0) - i32::from(decimal.decimals);
        Self::rounded(negative, decimal.mantissa, exponent)
    }

    #[must_use]
    pub fn from_i64(value: i64) -> Option<Self> {
        Self::signed(value < 0, value.unsigned_abs(), 0)
    }

    #[must_use]
    pub fn from_u64(value: u64) -> Option<Self> {
        Self::signed(false, value, 0)
    }

    /// -1, 0 or 1.
    #[inline]
    #[must_use]
    pub fn signum(self) -> i64 {
        self.mantissa.signum()
    }

    fn signed(negative: bool, mantissa: u64, scale: u16) -> Option<Self> {
        if mantissa >= BOUND {
            return None;
        }
        let mantissa = i64::try_from(mantissa).ok()?;
        Some(Self {
            mantissa: if negative { -mantissa } else { mantissa },
            scale,
        })
    }

    /// `mantissa` x 10^`exponent`, rounded half-even to 4 decimals.
    fn rounded(negative: bool, mut mantissa: u64, mut exponent: i32) -> Option<Self> {
        while exponent < 0 && mantissa % 10 == 0 && mantissa > 0 {
            mantissa /= 10;
            exponent += 1;
        }
        if mantissa == 0 {
            return Self::signed(false, 0, 0);
        }
        if exponent >= 0 {
            let factor = 10_u64.checked_pow(exponent.unsigned_abs())?;
            return Self::signed(negative, mantissa.checked_mul(factor)?, 0);
        }
        let scale = exponent.unsigned_abs();
        if scale <= FLOAT_DECIMALS {
            return Self::signed(negative, mantissa, u16::try_from(scale).ok()?);
        }
        let Some(divisor) = 10_u64.checked_pow(scale - FLOAT_DECIMALS) else {
            return Self::signed(false, 0, 0);
        };
        let (quotient, rest) = (mantissa / divisor, mantissa % divisor);
        let up = match rest.cmp(&(divisor / 2)) {
            Ordering::Greater => 1,
            Ordering::Equal => quotient % 2,
            Ordering::Less => 0,
        };
        Self::signed(negative, quotient + up, 4)
    }
}

fn sign(text: &[u8]) -> (bool, &[u8]) {
    match text.split_first() {
        Some((b'-', digits)) => (true, digits),
        _ => (false, text),
    }
}

/// The parts of a number's text without its sign.
struct Decimal {
    /// The first 19 significant digits.
    mantissa: u64,
    /// Significant digits in `mantissa`.
    digits: u32,
    /// Digits that do not fit in `mantissa`.
    dropped: usize,
    /// Digits after the point.
    decimals: u16,
    exponent: Option<i32>,
}

impl Decimal {
    /// Parses `digits(.digits)?([eE][+-]?digits)?`. `None` for any other text.
    fn read(text: &[u8]) -> Option<Self> {
        let mut decimal = Self {
            mantissa: 0,
            digits: 0,
            dropped: 0,
            decimals: 0,
            exponent: None,
        };
        let rest = decimal.take_digits(text)?;
        let rest = match rest.split_first() {
            Some((b'.', fraction)) => {
                let after = decimal.take_digits(fraction)?;
                decimal.decimals = u16::try_from(fraction.len() - after.len()).ok()?;
                after
            }
            _ => rest,
        };
        match rest.split_first() {
            None => Some(decimal),
            Some((b'e' | b'E', exponent)) => {
                let exponent = std::str::from_utf8(exponent).ok()?;
                decimal.exponent = Some(exponent.parse().ok()?);
                Some(decimal)
            }
            Some(_) => None,
        }
    }

    /// Consumes one or more digits at the start of `text` and returns the rest.
    fn take_digits<'t>(&mut self, text: &'t [u8]) -> Option<&'t [u8]> {
        let count = text
            .iter()
            .position(|byte| !byte.is_ascii_digit())
            .unwrap_or(text.len());
        for byte in &text[..count] {
            if self.digits > AMOUNT_DIGITS {
                self.dropped += 1;
                continue;
            }
            self.mantissa = self.mantissa * 10 + u64::from(byte - b'0');
            self.digits += u32::from(self.mantissa > 0);
        }
        (count > 0).then(|| &text[count..])
    }
}

impl PartialEq for Amount {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Amount {}

impl PartialOrd for Amount {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Amount {
    fn cmp(&self, other: &Self) -> Ordering {
        match self.scale.cmp(&other.scale) {
            Ordering::Equal => self.mantissa.cmp(&other.mantissa),
            Ordering::Less => compare_scaled(*self, *other),
            Ordering::Greater => compare_scaled(*other, *self).reverse(),
        }
    }
}

/// Compares a coarse amount with a fine amount, which has more decimals. At the fine amount's
/// scale, the coarse amount is at most 2^63 x 10^19 < 2^127. If the scales differ by 20 or more,
/// the fine amount is less than 1/10 of the coarse amount's last decimal, and decides only if the
/// coarse amount is zero.
fn compare_scaled(coarse: Amount, fine: Amount) -> Ordering {
    let difference = u32::from(fine.scale - coarse.scale);
    if difference > 19 {
        return coarse.mantissa.signum().cmp(&0).then(0.cmp(&fine.mantissa));
    }
    (i128::from(coarse.mantissa) * 10_i128.pow(difference)).cmp(&i128::from(fine.mantissa))
}
