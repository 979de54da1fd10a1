//! Plans, conditions and waits, and the state machine of executions.

mod clock_times;
mod conditions;
mod delivery;
mod machine;
mod plans;
mod shard;
mod support;
