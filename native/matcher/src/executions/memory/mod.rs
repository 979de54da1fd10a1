//! The executions in memory: loaded from Postgres, and changed by committed transitions.

mod apply;
mod load;

pub(crate) use self::apply::apply_transition;
pub use self::load::ExecutionLoader;
