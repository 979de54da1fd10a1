//! Slots of contacts.

/// The fixed number of partitions of (tenant, contact).
pub const SLOTS: usize = 256;

/// The slot of a contact: zlib's CRC-32 of tenant, 0x1F and contact in UTF-8, modulo 256.
#[must_use]
pub fn slot_of(tenant: &str, contact: &str) -> u8 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(tenant.as_bytes());
    hasher.update(&[0x1f]);
    hasher.update(contact.as_bytes());
    hasher.finalize().to_le_bytes()[0]
}
