//! The configuration of workflows: specifications as the store holds them, and their compiled
//! form.

mod criteria;
mod criteria_read;
mod workflow;

pub use criteria::{Criteria, GoalType};
pub use workflow::{ConfigError, Goal, GoalSpec, Logic, Workflow, WorkflowSpec, goal_id};
