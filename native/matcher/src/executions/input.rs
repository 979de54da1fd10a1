//! The inputs of an evaluation, next to the events of its buffers.

use std::collections::{BTreeMap, HashMap, HashSet};

use uuid::Uuid;

use crate::event::{Event, Text};
use crate::plan::Contact;
use crate::proposal::{CancelReason, EntryRef};

/// When Redis received something: its entry id, in order. Ids of one millisecond differ by their
/// sequence, up to 65,535.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Received {
    /// Milliseconds since the epoch.
    pub ms: i64,
    pub seq: u16,
}

impl Received {
    pub fn of(entry: EntryRef<'_>) -> Received {
        Received {
            ms: entry.entry.ms.try_into().unwrap_or(i64::MAX),
            seq: entry.entry.seq.try_into().unwrap_or(u16::MAX),
        }
    }
}

/// Something about an execution that is on no stream, in milliseconds.
#[derive(Debug, Clone)]
pub struct Input<'a> {
    pub tenant: &'a str,
    pub contact: &'a str,
    pub at: i64,
    pub kind: InputKind<'a>,
}

#[derive(Debug, Clone)]
pub enum InputKind<'a> {
    Cancel {
        execution: &'a str,
        reason: CancelReason,
    },
    /// Moves the execution to the current version of its workflow (X10).
    Migrate {
        execution: &'a str,
    },
    /// The connection for which the execution waits is not paused any more.
    Resume {
        execution: &'a str,
    },
    /// The commit of a later phase of the execution was refused: it fails (D4).
    Fail {
        execution: &'a str,
        error: &'a str,
    },
    /// The execution cannot fail either: timers, gates and jobs leave it as it is.
    Hold {
        execution: &'a str,
    },
    Gate(GateAnswer<'a>),
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
    /// By (tenant, contact): the contact after this many of its contact events and deletions in the
    /// batch.
    pub contacts: HashMap<(String, String), BTreeMap<u32, Contact>>,
    /// By (tenant, execution).
    pub starts: HashMap<(String, String), StartFacts>,
    /// Events that have ended a wait of an execution before: (tenant, execution, event key).
    pub excluded: HashSet<(String, String, Uuid)>,
}

#[derive(Debug, Clone, Copy)]
pub struct Options<'a> {
    pub inputs: &'a [Input<'a>],
    /// Milliseconds since the epoch.
    pub now: i64,
    /// Timers that are not later fire (X6).
    pub watermark: i64,
    pub grants: Grants<'a>,
    /// The most timers of one evaluation.
    pub max_timers: usize,
    /// Evaluate events only. Results are deferred, and timers and jobs follow in another evaluation
    /// (X1).
    pub only_events: bool,
    pub facts: &'a Facts,
    pub rules: EngineRules,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EngineRules {
    /// How long a failed execution can be retried. Milliseconds.
    pub keep_failed: i64,
    pub requires_opt_in: bool,
}

impl Default for EngineRules {
    fn default() -> EngineRules {
        EngineRules {
            keep_failed: 30 * 86_400_000,
            requires_opt_in: false,
        }
    }
}

/// How many contact events and deletions precede a question: of the contact, and in the proposal.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub position: u32,
    pub contact_events: usize,
    pub deletions: usize,
}

/// An event that may start executions and end waits.
#[derive(Debug)]
pub(super) struct Observed<'c> {
    pub entry: EntryRef<'c>,
    pub event: Event<'c>,
    /// The contact of the event before it was passed on (E21).
    pub original: Box<str>,
    pub at: Received,
    /// Of a change that an action made (X14).
    pub hops: u8,
    /// The attributes that the event gives.
    pub changed: Vec<Text<'c>>,
    /// The place after the event.
    pub place: Place,
}
