//! The state machine of executions: the second half of the decision about a contact.
//!
//! It takes events, results and due timers, and proposes transitions, jobs, timers and rows of the
//! log. Like the evaluation of goals it reads memory and changes none; the commit decides, and
//! `Matcher::apply` takes the committed transitions (docs/decisions/0053).

mod advance;
mod case;
mod events;
mod finish;
mod ids;
mod input;
mod machine;
mod memory;
mod messages;
mod queue;
mod registry;
mod results;
mod run;
mod starts;
mod timers;

pub(crate) use self::case::{Case, Context};
pub use self::input::{
    ActionResult, AttemptKey, EngineRules, Facts, Gate, GateAnswer, Grants, Input, InputKind,
    Options, Outcome, StartFacts,
};
pub(crate) use self::machine::{Machine, unused_grants};
pub use self::memory::ExecutionLoader;
pub(crate) use self::memory::apply_transition;
pub use crate::index::{Execution, ExecutionCounts, State, Steps};

pub use self::queue::{ExecutionKey, Queue, QueuedExecution};
pub use self::registry::{Overdue, Registry, TenantSettings, WorkflowPlans};
