//! Exact decimals of at most 18 significant digits.

/// `mantissa` x 10^-`scale`.
#[derive(Debug, Clone, Copy)]
pub struct Amount {
    pub mantissa: i64,
    pub scale: u8,
}

impl PartialEq for Amount {
    fn eq(&self, other: &Self) -> bool {
        self.scaled(other.scale) == other.scaled(self.scale)
    }
}

impl Amount {
    fn scaled(self, by: u8) -> i128 {
        i128::from(self.mantissa) * 10_i128.pow(u32::from(by))
    }
}
