//! Counts that a shard reports of its executions.

use super::{Executions, State};

/// Counts of the executions of a shard. Times are milliseconds since the epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecutionCounts {
    /// By the numbers of `State::ALL`.
    pub states: [u32; State::ALL.len()],
    /// The executions whose step is due.
    pub due: usize,
    /// When the first of these steps became due.
    pub oldest_due: Option<i64>,
    /// The timers that are due, and that do not fire before the watermark is later (X6).
    pub timers_held: usize,
    /// When the first timer was due that was not processed.
    pub oldest_timer: Option<i64>,
}

impl Executions {
    /// The counts at this time. Reads the timers that are due, and no other executions.
    pub fn counts(&self, now: i64) -> ExecutionCounts {
        let first_due = self.queues.iter().flat_map(|queue| {
            let with_permit = queue.first();
            with_permit
                .into_iter()
                .chain(queue.range((true, i64::MIN, 0)..).next())
        });
        let (timers_held, oldest_held) = self.wheel.until(&self.records, now);
        let fired = self.fired.first().map(|&(due, _)| due);
        ExecutionCounts {
            states: self.states,
            due: self.queues.iter().map(|queue| queue.len()).sum(),
            oldest_due: first_due.map(|&(_, since, _)| since).min(),
            timers_held,
            oldest_timer: oldest_held.into_iter().chain(fired).min(),
        }
    }
}
