//! Counts that a shard reports of its executions.

use super::record::State;

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
