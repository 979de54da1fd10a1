//! The configuration of workflows: specifications as the store holds them, and their compiled
//! form.

mod criteria;
mod criteria_read;
mod products;
mod workflow;

pub use criteria::{Criteria, GoalType};
pub use products::Products;
pub use workflow::{ConfigError, Goal, GoalSpec, Logic, Workflow, WorkflowSpec, goal_id};
