//! The changes of executions that a proposal has.

use uuid::Uuid;

use super::effect::Status;
use crate::index::Execution;

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

/// The row of an execution before a change. The commit changes the row only if it is the same (X3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    pub step: Box<str>,
    pub visit: u16,
    pub attempt: u16,
    pub state: &'static str,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Finished,
    GoalAchieved,
    Cancelled(CancelReason),
}

impl End {
    pub fn status(self) -> &'static str {
        match self {
            End::Finished | End::GoalAchieved => "COMPLETED",
            End::Cancelled(_) => "CANCELLED",
        }
    }

    /// The status of the enrollment.
    pub fn enrollment(self) -> Status {
        match self {
            End::Finished => Status::Completed,
            End::GoalAchieved => Status::CompletedGoal,
            End::Cancelled(CancelReason::FailedExpired) => Status::Exited,
            End::Cancelled(_) => Status::Cancelled,
        }
    }

    pub fn reason(self) -> &'static str {
        match self {
            End::Finished => "finished",
            End::GoalAchieved => "goal_achieved",
            End::Cancelled(reason) => reason.name(),
        }
    }
}

/// A job to publish when its transition is committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    /// The idempotency key (X3).
    pub key: Uuid,
    pub config: Box<str>,
    /// Of the changes that the action makes (X14).
    pub hops: u8,
}

/// The net change of one execution.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    pub tenant: Box<str>,
    pub contact: Box<str>,
    pub slot: u8,
    pub workflow: Box<str>,
    pub execution: Box<str>,
    /// The number of the effect on its enrollment, if the execution starts or ends.
    pub effect: Option<usize>,
    pub version: i32,
    /// `None`: the execution is new.
    pub guard: Option<Guard>,
    /// The execution after it; of an ended one the last state.
    pub after: Execution,
    /// The id of its step; empty at the end of the plan.
    pub step: Box<str>,
    /// The action type of its step, if it is an action, and its connection.
    pub action: Option<Box<str>>,
    pub connection: Option<Box<str>>,
    pub zone: Box<str>,
    pub total_steps: u8,
    /// The steps that were done, by id.
    pub done: Vec<Box<str>>,
    /// The steps that were done, and that its version does not have. Of the whole execution.
    pub other_done: Vec<Box<str>>,
    pub started_at: i64,
    /// Of a new execution, what its templates need of its start: a JSON object with the `attributes` of
    /// the request, or the event as `trigger`, if they name it.
    pub variables: Option<Box<str>>,
    pub end: Option<End>,
    pub job: Option<Job>,
    /// The gate of this attempt of the guard's step must be closed before the commit.
    pub closes_gate: bool,
    /// Whether the execution had a permit before, and has one after.
    pub permit: (bool, bool),
    /// The events that have ended waits of the execution.
    pub used_events: Vec<Uuid>,
    /// Only events changed it, so that it may be committed before the others of its contact (X1).
    pub is_first_phase: bool,
}

/// A row of the log.
#[derive(Debug, Clone, PartialEq)]
pub struct LogRow {
    pub subject: Subject,
    pub event: &'static str,
    pub at: i64,
    /// 1-based position and id.
    pub step: Option<(u8, Box<str>)>,
    pub attempt: u16,
    pub duration: Option<i64>,
    pub message: Option<Box<str>>,
    pub user: Option<Box<str>>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Subject {
    /// Written only if this transition is committed.
    Transition(usize),
    Other {
        tenant: Box<str>,
        contact: Box<str>,
        workflow: Option<Box<str>>,
        execution: Option<Box<str>>,
    },
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// With the id of the execution.
    Started(Uuid),
    /// The same request started this execution before.
    Repeated(Uuid),
    Duplicate,
    AlreadyRunning,
    NotAllowedAgain,
    OptedOut,
    InactiveWorkflow,
    Accepted,
    /// The execution has another status.
    NotFailed,
    /// No live execution has this id.
    NotFound,
}

impl Answer {
    pub fn name(&self) -> &'static str {
        match self {
            Answer::Started(_) => "started",
            Answer::Repeated(_) => "repeated",
            Answer::Duplicate => "duplicate",
            Answer::AlreadyRunning => "already_running",
            Answer::NotAllowedAgain => "not_allowed_again",
            Answer::OptedOut => "opted_out",
            Answer::InactiveWorkflow => "inactive_workflow",
            Answer::Accepted => "accepted",
            Answer::NotFailed => "not_failed",
            Answer::NotFound => "not_found",
        }
    }
}

/// Jobs of a connection must wait, or of the action type if there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delay {
    pub tenant: Box<str>,
    pub action: Box<str>,
    pub connection: Option<Box<str>>,
    /// `None`: until the connection is resumed.
    pub until: Option<i64>,
}

/// The admin must be notified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    pub transition: usize,
    /// `failed` or `connection_paused`.
    pub kind: &'static str,
    pub error: Option<Box<str>>,
}

/// A start whose facts are missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StartCheck {
    pub tenant: Box<str>,
    pub contact: Box<str>,
    pub workflow: Box<str>,
    pub execution: Box<str>,
}

/// The request of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub tenant: Box<str>,
    pub contact: Box<str>,
    pub source: RequestSource,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestSource {
    /// The number of an input.
    Input(usize),
    /// The id of an event.
    Event(Box<str>),
}

/// A question about a contact: its state after the events so far.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactCheck {
    pub tenant: Box<str>,
    pub contact: Box<str>,
    /// How many events of the batch describe or delete the contact before the question.
    pub position: u32,
    /// How many contact events and deletions of the proposal precede it.
    pub contact_events: usize,
    pub deletions: usize,
}

/// The changes of executions. Rows that belong to no transition are part of the last slice.
#[derive(Debug, Default)]
pub struct ExecutionRows {
    /// Those of a contact follow each other, first those of the first phase.
    pub transitions: Vec<Transition>,
    pub logs: Vec<LogRow>,
    pub answers: Vec<(Request, Answer)>,
    pub delays: Vec<Delay>,
    pub notifications: Vec<Notification>,
    /// Grants that were not used: (tenant, execution).
    pub unused_grants: Vec<(Box<str>, Box<str>)>,
    /// Inputs that must be given again, because an event of their tenant is evaluated further after the commit.
    pub postponed: Vec<usize>,
    /// Contacts and starts whose facts are missing. The proposal must not be committed, but
    /// evaluated again with them.
    pub contact_checks: Vec<ContactCheck>,
    pub start_checks: Vec<StartCheck>,
    /// (transition, event key) of events that end waits, unless they have ended one of the
    /// execution before. If one has, and the facts did not exclude it, the proposal must be
    /// evaluated again.
    pub event_checks: Vec<(usize, Uuid)>,
}

impl ExecutionRows {
    /// No rows.
    pub const NONE: ExecutionRows = ExecutionRows {
        transitions: Vec::new(),
        logs: Vec::new(),
        answers: Vec::new(),
        delays: Vec::new(),
        notifications: Vec::new(),
        unused_grants: Vec::new(),
        postponed: Vec::new(),
        contact_checks: Vec::new(),
        start_checks: Vec::new(),
        event_checks: Vec::new(),
    };

    /// Whether facts were missing.
    pub fn is_incomplete(&self) -> bool {
        !self.contact_checks.is_empty() || !self.start_checks.is_empty()
    }

    /// Whether there are rows to commit that belong to no transition.
    pub fn has_unattached_rows(&self) -> bool {
        let is_other = |row: &LogRow| matches!(row.subject, Subject::Other { .. });
        self.logs.iter().any(is_other)
    }

    pub fn is_empty(&self) -> bool {
        self.transitions.is_empty()
            && self.logs.is_empty()
            && self.answers.is_empty()
            && self.delays.is_empty()
            && self.unused_grants.is_empty()
            && self.postponed.is_empty()
            && !self.is_incomplete()
    }
}
