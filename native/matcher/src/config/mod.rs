//! The configuration of workflows: specifications as the store holds them, and their compiled
//! form.

mod criteria;
mod criteria_read;
mod products;
mod tag_name;
mod workflow;

pub use criteria::{Criteria, GoalType};
pub use products::Products;
pub use workflow::{
    CHECKS_ON_ENROLLMENT, ConfigError, Goal, GoalSpec, Logic, WatchedSince, Workflow, WorkflowSpec,
    goal_id,
};
