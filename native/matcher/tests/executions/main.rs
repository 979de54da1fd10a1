//! Plans, conditions and waits, and the state machine of executions.

mod clock_times;
mod conditions;
mod delivery;
mod errors;
mod events;
mod machine;
mod migrations;
mod plans;
mod shard;
mod support;
