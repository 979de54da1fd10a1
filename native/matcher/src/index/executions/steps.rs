//! A set of steps of one plan.

/// The positions of steps, at most 104.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Steps(u128);

impl Steps {
    pub fn contains(self, position: u8) -> bool {
        self.0 >> position & 1 == 1
    }

    pub fn insert(&mut self, position: u8) {
        self.0 |= 1 << position;
    }

    pub fn count(self) -> u8 {
        self.0.count_ones() as u8
    }

    /// The positions, in order.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..104).filter(move |&position| self.contains(position))
    }

    /// Those that are not in `other`.
    pub fn without(self, other: Steps) -> Steps {
        Steps(self.0 & !other.0)
    }

    pub(super) fn to_bytes(self) -> [u8; 13] {
        let mut bytes = [0; 13];
        bytes.copy_from_slice(&self.0.to_le_bytes()[..13]);
        bytes
    }

    pub(super) fn from_bytes(bytes: [u8; 13]) -> Steps {
        let mut all = [0; 16];
        all[..13].copy_from_slice(&bytes);
        Steps(u128::from_le_bytes(all))
    }
}
