//! Plans, conditions and waits, and the state machine of executions.

mod clock_times;
mod conditions;
mod plans;
mod support;
