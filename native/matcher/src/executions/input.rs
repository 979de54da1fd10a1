//! The inputs of an evaluation.

use std::collections::{HashMap, HashSet};

use uuid::Uuid;

use crate::event::Event;
use crate::plan::Contact;

/// Something that happened to a contact. `at`: when Redis received it, in milliseconds.
#[derive(Debug, Clone)]
pub struct Input<'a> {
    pub tenant: &'a str,
    pub contact: &'a str,
    pub at: i64,
    pub kind: InputKind<'a>,
}

#[derive(Debug, Clone)]
pub enum InputKind<'a> {
    Event(Box<Happened<'a>>),
    /// A request to start an execution.
    Trigger(Trigger<'a>),
    /// The goals of the workflow are met.
    GoalAchieved {
        execution: &'a str,
    },
    Cancel {
        execution: &'a str,
        reason: CancelReason,
        user: Option<&'a str>,
    },
    /// A request to repeat the failed step.
    Retry {
        execution: &'a str,
        user: Option<&'a str>,
    },
    /// Moves the execution to the current version of its workflow (X10).
    Migrate {
        execution: &'a str,
    },
    /// The connection for which the execution waits is not paused any more.
    Resume {
        execution: &'a str,
    },
    Result(ActionResult<'a>),
    Gate(GateAnswer<'a>),
}

/// An event of the contact's stream that is not a result.
#[derive(Debug, Clone)]
pub struct Happened<'a> {
    pub event: Event<'a>,
    /// Of a change that an action made (X14).
    pub hops: u8,
    /// The contact after the event, if the event changes it.
    pub contact: Option<Contact>,
    /// The attributes that the event gives.
    pub changed: Vec<Box<str>>,
}

#[derive(Debug, Clone, Copy)]
pub struct Trigger<'a> {
    pub workflow: &'a str,
    /// The `Idempotency-Key`; a random one if the caller does not repeat.
    pub key: &'a str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CancelReason {
    User,
    ContactDeleted,
    ContactOptedOut,
    ContactMerged,
    WorkflowDeleted,
    Superseded,
    FailedExpired,
}

impl CancelReason {
    pub const ALL: [CancelReason; 7] = [
        CancelReason::User,
        CancelReason::ContactDeleted,
        CancelReason::ContactOptedOut,
        CancelReason::ContactMerged,
        CancelReason::WorkflowDeleted,
        CancelReason::Superseded,
        CancelReason::FailedExpired,
    ];

    pub fn name(self) -> &'static str {
        match self {
            CancelReason::User => "user",
            CancelReason::ContactDeleted => "contact_deleted",
            CancelReason::ContactOptedOut => "contact_opted_out",
            CancelReason::ContactMerged => "contact_merged",
            CancelReason::WorkflowDeleted => "workflow_deleted",
            CancelReason::Superseded => "superseded",
            CancelReason::FailedExpired => "failed_expired",
        }
    }

    pub fn of(name: &str) -> Option<CancelReason> {
        CancelReason::ALL
            .into_iter()
            .find(|each| each.name() == name)
    }
}

/// One attempt of a step of an execution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptKey<'a> {
    pub execution: &'a str,
    pub step: &'a str,
    pub visit: u16,
    pub attempt: u16,
}

/// A worker's report about an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActionResult<'a> {
    pub key: AttemptKey<'a>,
    pub outcome: Outcome,
    /// Masked by the worker (X15).
    pub error: Option<&'a str>,
    pub duration: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Success,
    /// An error that a retry may help.
    Retry,
    /// An error that a retry cannot help.
    Skip,
    /// The connection is paused.
    Pause,
    /// The provider accepts no calls for this time in milliseconds.
    RateLimit {
        delay: i64,
    },
    /// The call may have had its effect (X4). `is_keyed`: the provider honours the key.
    Unknown {
        is_keyed: bool,
    },
    /// The gate refused the worker: it is closed, unknown or expired.
    Refused,
    /// The gate refused the worker because the workflow is inactive (X11).
    RefusedInactive,
}

/// The state of an outstanding job's gate, read after a load (X2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateAnswer<'a> {
    pub key: AttemptKey<'a>,
    pub gate: Gate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// A worker may still pass it, or a result will arrive.
    Open,
    /// Closed before a commit that left the execution live.
    Closed,
    /// Redis does not have it any more: it counts as passed, with an unknown outcome (X4).
    /// `is_keyed`: the provider honours the key.
    Lost { is_keyed: bool },
}

/// Executions whose jobs may be released in this evaluation: they have a permit, if they need one,
/// and a credit.
#[derive(Debug, Clone, Copy)]
pub enum Grants<'a> {
    /// Those of the contacts that have inputs or fired timers.
    All,
    /// (tenant, contact, execution).
    Some(&'a [(String, String, String)]),
}

/// The rows of Postgres about a start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StartFacts {
    /// Whether the execution exists, live or ended.
    pub exists: bool,
    /// The last start of the contact in the workflow.
    pub last_started: Option<i64>,
}

/// Rows of Postgres that an evaluation needs, from before its inputs.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// By (tenant, contact).
    pub contacts: HashMap<(String, String), Contact>,
    /// By (tenant, execution).
    pub starts: HashMap<(String, String), StartFacts>,
    /// Events that have ended a wait of an execution before: (tenant, execution, event key).
    pub excluded: HashSet<(String, String, Uuid)>,
}

#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    /// Milliseconds since the epoch.
    pub now: i64,
    /// Timers that are not later fire (X6).
    pub watermark: i64,
    pub grants: Grants<'a>,
    /// The most timers of one evaluation.
    pub max_timers: usize,
    /// Evaluate events only. Results, timers and jobs follow in another evaluation (X1).
    pub only_events: bool,
    pub facts: &'a Facts,
    pub rules: EngineRules,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineRules {
    /// Added to event times when they are compared with starts (E3). Milliseconds.
    pub clock_skew: i64,
    /// How long a failed execution can be retried. Milliseconds.
    pub keep_failed: i64,
    pub requires_opt_in: bool,
}

impl Default for EngineRules {
    fn default() -> EngineRules {
        EngineRules {
            clock_skew: 0,
            keep_failed: 30 * 86_400_000,
            requires_opt_in: false,
        }
    }
}
