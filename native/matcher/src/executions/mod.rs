//! The state machine of executions: the second half of the decision about a contact.
//!
//! It takes events, results and due timers, and proposes transitions, jobs, timers and rows of the
//! log. Like the evaluation of goals it reads memory and changes none; the commit decides, and
//! `Matcher::apply_executions` takes the committed transitions (docs/decisions/0053).

mod advance;
mod case;
mod evaluate;
mod events;
mod finish;
mod ids;
mod input;
mod memory;
mod proposal;
mod queue;
mod registry;
mod results;
mod run;
mod starts;
mod timers;

pub use self::evaluate::evaluate;
pub use self::input::{
    ActionResult, AttemptKey, CancelReason, EngineRules, Facts, Gate, GateAnswer, Grants, Happened,
    Input, InputKind, Options, Outcome, StartFacts, Trigger,
};
pub use self::memory::ExecutionLoader;
pub(crate) use self::memory::apply_transition;
pub use self::proposal::{
    Answer, Delay, End, ExecutionProposal, Guard, Job, LogRow, Notification, StartCheck, Subject,
    Transition,
};
pub use crate::index::{Execution, State, Steps};

pub use self::queue::{ExecutionKey, QueuedExecution};
pub use self::registry::{Overdue, Registry, TenantSettings, WorkflowPlans};
