//! Plans: compiled definitions of workflows (docs/reference/plans.md), and what their steps test
//! and wait for. Times and durations are milliseconds.

mod clock_time;
mod condition;
mod contact;
mod decimal;
mod following;
mod read;
mod value;
mod zones;

use crate::config::{Criteria, GoalType, Products};
use crate::event::{Fact, Text};

pub use self::clock_time::ClockTime;
pub use self::condition::{Condition, Verdict};
pub use self::contact::{Contact, ContactTag};
pub use self::zones::{UTC, Zones};

/// The most steps of a plan.
pub const MAX_STEPS: usize = 100;

/// One version of a workflow's definition.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The zone of contacts that have none.
    pub timezone: Option<Box<str>>,
    pub reentry: Reentry,
    /// `None`: executions are started through the API only.
    pub trigger: Option<Pattern>,
    /// In the order of the document. The position after the last one is the end.
    pub steps: Box<[Step]>,
    /// Whether templates may name the event that triggers an execution.
    pub names_trigger: bool,
    /// By step: the step after it and its branches.
    following: Box<[u8]>,
}

#[derive(Debug, Clone)]
pub struct Step {
    pub id: Box<str>,
    /// The steps on the longest path from this one to the end, this one included.
    pub longest: u8,
    pub kind: StepKind,
}

#[derive(Debug, Clone)]
pub enum StepKind {
    Act(Act),
    Branch {
        then: u8,
        otherwise: u8,
        condition: Condition,
    },
    WaitFor {
        next: u8,
        duration: i64,
    },
    WaitUntil {
        next: u8,
        time: ClockTime,
        /// `None`: that of the contact, else that of the plan, else UTC.
        timezone: Option<Box<str>>,
    },
    WaitForEvent {
        /// After the event.
        then: u8,
        /// After the time-out.
        otherwise: u8,
        pattern: Pattern,
        timeout: Option<i64>,
    },
    Exit,
}

impl StepKind {
    pub fn is_wait(&self) -> bool {
        matches!(
            self,
            StepKind::WaitFor { .. } | StepKind::WaitUntil { .. } | StepKind::WaitForEvent { .. }
        )
    }
}

/// A side effect that a worker performs.
#[derive(Debug, Clone)]
pub struct Act {
    pub next: u8,
    pub action: Box<str>,
    pub connection: Option<Box<str>>,
    /// The fields under `with` as JSON, not rendered.
    pub config: Box<str>,
    pub errors: ErrorPolicy,
    /// How much later than it is due the action may start (X7).
    pub max_lateness: Option<i64>,
}

/// How the errors of an action are handled (X4, X5). `None`: as the tenant's settings say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ErrorPolicy {
    pub max_retries: Option<u8>,
    pub base_delay: Option<i64>,
    pub fails_when_exhausted: bool,
    pub fails_when_rejected: bool,
    pub on_unknown: OnUnknown,
}

/// After a call whose outcome is unknown, if the provider does not honour the key (X4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnUnknown {
    Continue,
    Retry,
    Fail,
}

/// When a contact may start the workflow again (X9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reentry {
    pub allow: Allow,
    /// Since the last start.
    pub min_interval: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Allow {
    AfterExit,
    Once,
    Always,
}

/// The events that start an execution or end a wait.
#[derive(Debug, Clone)]
pub enum Pattern {
    Goal(Criteria),
    /// A described contact: the event gives one of these attributes, if there are any, and the
    /// condition holds after it.
    Changed {
        attributes: Box<[Box<str>]>,
        condition: Option<Condition>,
    },
}

impl Pattern {
    /// Whether the events that match need the state of the contact.
    pub fn needs_contact(&self) -> bool {
        matches!(self, Pattern::Changed { condition, .. } if condition.is_some())
    }

    /// Whether events of this type may match.
    pub fn listens(&self, fact: &Fact<'_>) -> bool {
        match self {
            Pattern::Goal(criteria) => GoalType::of(fact) == Some(criteria.goal_type()),
            Pattern::Changed { .. } => matches!(fact, Fact::ContactUpdated),
        }
    }

    /// Whether an event matches, apart from the condition of a changed contact. `changed`: the
    /// attributes that the event gives.
    pub fn selects(&self, fact: &Fact<'_>, changed: &[Text<'_>]) -> bool {
        match self {
            Pattern::Goal(criteria) => {
                GoalType::of(fact) == Some(criteria.goal_type())
                    && criteria.check(fact, &Products::of(fact)).is_ok()
            }
            Pattern::Changed { attributes, .. } => {
                matches!(fact, Fact::ContactUpdated)
                    && (attributes.is_empty()
                        || attributes
                            .iter()
                            .any(|name| changed.iter().any(|given| **given == **name)))
            }
        }
    }

    /// Whether the condition of a changed contact holds, if the pattern has one.
    pub fn holds(&self, contact: &Contact) -> bool {
        match self {
            Pattern::Changed {
                condition: Some(condition),
                ..
            } => condition.check(contact).holds,
            _ => true,
        }
    }
}

impl Plan {
    /// The position after the last step, at which an execution completes.
    pub fn end(&self) -> u8 {
        self.steps.len() as u8
    }

    pub fn step(&self, position: u8) -> Option<&Step> {
        self.steps.get(usize::from(position))
    }

    /// The id of the step at a position; empty at the end.
    pub fn step_id(&self, position: u8) -> &str {
        self.step(position).map_or("", |step| &step.id)
    }

    pub fn position(&self, step_id: &str) -> Option<u8> {
        let found = self.steps.iter().position(|step| *step.id == *step_id);
        found.map(|position| position as u8)
    }

    /// The position after a step and its branches.
    pub fn following(&self, position: u8) -> u8 {
        let following = self.following.get(usize::from(position));
        following.copied().unwrap_or(self.end())
    }

    /// The action of a step that is one.
    pub fn act(&self, position: u8) -> Option<&Act> {
        match &self.step(position)?.kind {
            StepKind::Act(act) => Some(act),
            _ => None,
        }
    }

    /// When a wait for a time ends that began at `since`; `None` for other steps.
    pub fn end_of_wait(&self, position: u8, since: i64, zone: u16, zones: &Zones) -> Option<i64> {
        match &self.step(position)?.kind {
            StepKind::WaitFor { duration, .. } => Some(since.saturating_add(*duration)),
            StepKind::WaitUntil { time, .. } => Some(time.after(since, zone, zones)),
            _ => None,
        }
    }

    /// The position at which an execution continues in another version (X10): that of the step with
    /// the same id, or of the next step that exists there; the end if there is none.
    pub fn position_in(&self, position: u8, other: &Plan) -> u8 {
        let mut at = position;
        while let Some(step) = self.step(at) {
            if let Some(found) = other.position(&step.id) {
                return found;
            }
            at = self.following(at);
        }
        other.end()
    }
}
