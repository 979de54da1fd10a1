//! Waits for a wall time (§5): derived from the zone, never stored as an instant only.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::zones::Zones;

const SECONDS_PER_DAY: i64 = 86_400;
/// A matching day is at most a week away, and its time may have passed on the first one.
const DAYS: usize = 9;

/// A time of the day, on some days of the week or on one date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockTime {
    time: Time,
    /// Bit 0 is Monday.
    weekdays: u8,
    date: Option<Date>,
}

impl ClockTime {
    /// `second` of the day; `date` in days since 1970-01-01. `None` if a value is invalid.
    pub(super) fn new(second: i64, weekdays: i64, date: Option<i64>) -> Option<ClockTime> {
        if !(0..SECONDS_PER_DAY).contains(&second) || !(1..=127).contains(&weekdays) {
            return None;
        }
        let date_of = |days: i64| {
            let midnight = Timestamp::from_second(days.checked_mul(SECONDS_PER_DAY)?).ok()?;
            Some(TimeZone::UTC.to_datetime(midnight).date())
        };
        let date = match date {
            Some(days) => Some(date_of(days)?),
            None => None,
        };
        let (hour, minute) = (second / 3600, second / 60 % 60);
        Some(ClockTime {
            time: Time::new(hour as i8, minute as i8, (second % 60) as i8, 0).ok()?,
            weekdays: weekdays as u8,
            date,
        })
    }

    /// The first such time after `begin`; a date in the past is not after it. Times in the zone are
    /// milliseconds since the epoch, beyond the calendar's range `begin` itself.
    pub fn after(&self, begin: i64, zone: u16, zones: &Zones) -> i64 {
        self.find(begin, zones.zone(zone)).unwrap_or(begin)
    }

    fn find(&self, begin: i64, zone: &TimeZone) -> Option<i64> {
        if let Some(date) = self.date {
            return instant(date.to_datetime(self.time), zone);
        }
        let mut date = zone
            .to_datetime(Timestamp::from_millisecond(begin).ok()?)
            .date();
        for _ in 0..DAYS {
            let bit = 1 << date.weekday().to_monday_zero_offset();
            if self.weekdays & bit != 0 {
                let found = instant(date.to_datetime(self.time), zone)?;
                if found > begin {
                    return Some(found);
                }
            }
            date = date.tomorrow().ok()?;
        }
        None
    }
}

/// The instant of a wall time: the first instant after the gap if the zone skips it, and the first
/// of two if it occurs twice.
fn instant(time: DateTime, zone: &TimeZone) -> Option<i64> {
    let timestamp = match zone.to_ambiguous_timestamp(time).offset() {
        AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(time).ok()?,
        AmbiguousOffset::Fold { before, .. } => before.to_timestamp(time).ok()?,
        AmbiguousOffset::Gap { after, .. } => {
            let before_gap = after.to_timestamp(time).ok()?;
            let mut transitions = zone.following(before_gap);
            transitions.find(|each| each.offset() == after)?.timestamp()
        }
    };
    Some(timestamp.as_millisecond())
}
