//! Time zones. Their data comes from outside: one pinned source serves Rust and Python.

use std::collections::HashMap;

use jiff::tz::TimeZone;

use crate::config::ConfigError;

/// The number of UTC, which is always known.
pub const UTC: u16 = 0;

/// Time zones by name and number.
#[derive(Debug)]
pub struct Zones {
    numbers: HashMap<Box<str>, u16>,
    zones: Vec<(Box<str>, TimeZone)>,
}

impl Default for Zones {
    fn default() -> Zones {
        Zones {
            numbers: HashMap::from([("UTC".into(), UTC)]),
            zones: vec![("UTC".into(), TimeZone::UTC)],
        }
    }
}

impl Zones {
    /// Sets the data of a zone, in the format of RFC 9636 (TZif). Numbers do not change.
    pub fn set(&mut self, name: &str, tzif: &[u8]) -> Result<(), ConfigError> {
        let zone = TimeZone::tzif(name, tzif)
            .map_err(|error| ConfigError(format!("time zone {name}: {error}")))?;
        if let Some(number) = self.number(name) {
            self.zones[usize::from(number)].1 = zone;
            return Ok(());
        }
        let number = u16::try_from(self.zones.len())
            .map_err(|_| ConfigError("more than 65,535 time zones".into()))?;
        self.zones.push((name.into(), zone));
        self.numbers.insert(name.into(), number);
        Ok(())
    }

    pub fn number(&self, name: &str) -> Option<u16> {
        self.numbers.get(name).copied()
    }

    pub fn name(&self, number: u16) -> &str {
        &self.zones[usize::from(number)].0
    }

    pub(super) fn zone(&self, number: u16) -> &TimeZone {
        &self.zones[usize::from(number)].1
    }

    /// The first of these zones that is known; UTC if none is.
    pub fn first_known<'a>(&self, names: impl IntoIterator<Item = Option<&'a str>>) -> u16 {
        let mut known = names
            .into_iter()
            .flatten()
            .filter_map(|name| self.number(name));
        known.next().unwrap_or(UTC)
    }
}
