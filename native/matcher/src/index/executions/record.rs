//! An execution, and the record of 56 bytes in which it is stored.

use super::steps::Steps;
use crate::index::slab::Linked;
use crate::plan::UTC;

/// The state of a live execution (§4): its status, and the reason for which it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum State {
    /// A step is due, and the account has no room.
    Queued,
    /// A step is due, the execution has a permit, and its job is not released.
    Ready,
    /// A job is outstanding.
    Running,
    /// Waits for its time.
    Sleeping,
    /// Waits for an event.
    Listening,
    /// Waits for the time of a retry.
    BackingOff,
    /// Waits until its provider accepts calls.
    RateLimited,
    /// Waits until its connection is not paused.
    OnHold,
    /// A step is due, and the workflow is inactive (X11).
    Inactive,
    Failed,
}

use State::{
    BackingOff, Failed, Inactive, Listening, OnHold, Queued, RateLimited, Ready, Running, Sleeping,
};

impl State {
    pub const ALL: [State; 10] = [
        Queued,
        Ready,
        Running,
        Sleeping,
        Listening,
        BackingOff,
        RateLimited,
        OnHold,
        Inactive,
        Failed,
    ];

    /// The name in rows.
    pub fn name(self) -> &'static str {
        match self {
            Queued => "queued",
            Ready => "ready",
            Running => "running",
            Sleeping => "sleeping",
            Listening => "listening",
            BackingOff => "backing_off",
            RateLimited => "rate_limited",
            OnHold => "on_hold",
            Inactive => "inactive",
            Failed => "failed",
        }
    }

    pub fn of(name: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.name() == name)
    }

    pub fn status(self) -> &'static str {
        match self {
            Queued => "QUEUED",
            Ready | Running => "ACTIVE",
            Sleeping | Listening | BackingOff | RateLimited | OnHold | Inactive => "PAUSED",
            Failed => "FAILED",
        }
    }

    /// The reason for which the execution waits.
    pub fn waiting_for(self) -> Option<&'static str> {
        Some(match self {
            Queued => "limit",
            Ready => "release",
            Sleeping => "timer",
            Listening => "event",
            BackingOff => "retry",
            RateLimited => "rate_limit",
            OnHold => "connection",
            Inactive => "inactive",
            Running | Failed => return None,
        })
    }

    /// Whether the execution counts against the limit of its account (X8).
    pub fn has_permit(self) -> bool {
        matches!(self, Ready | Running)
    }

    /// Whether a step waits for its job.
    pub fn is_due(self) -> bool {
        matches!(self, Queued | Ready)
    }
}

/// A live execution. Times are milliseconds since the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Execution {
    /// The number of its plan.
    pub plan: u32,
    pub state: State,
    /// The position of the step that is processed, or next.
    pub step: u8,
    /// How often it has come to the step.
    pub visit: u16,
    /// Of the last job of the step; 0 before the first one.
    pub attempt: u16,
    pub retries: u8,
    /// Of the event that started it (X14).
    pub hops: u8,
    /// The number of the zone of a wait for a wall time.
    pub zone: u16,
    /// When the wait began, or the step became due.
    pub since: i64,
    /// The sequence within `since` of the entry with which a wait for an event began; else 0.
    pub since_seq: u16,
    /// When its timer fires, if it has one.
    pub due: Option<i64>,
    pub done: Steps,
    /// Moves to the current version of its workflow after its step (X10).
    pub migrates: bool,
    /// Whether an event has ended one of its waits, so that Postgres knows events that do not count.
    pub used_event: bool,
}

/// Milliseconds since the epoch in six bytes. The greatest value is no time.
#[derive(Debug, Clone, Copy)]
struct Millis([u8; 6]);

const NO_TIME: u64 = (1 << 48) - 1;

impl Millis {
    fn of(time: Option<i64>) -> Millis {
        let millis = time.map_or(NO_TIME, |time| time.clamp(0, NO_TIME as i64 - 1) as u64);
        let [a, b, c, d, e, f, ..] = millis.to_le_bytes();
        Millis([a, b, c, d, e, f])
    }

    fn get(self) -> Option<i64> {
        let [a, b, c, d, e, f] = self.0;
        let millis = u64::from_le_bytes([a, b, c, d, e, f, 0, 0]);
        (millis != NO_TIME).then_some(millis as i64)
    }
}

/// An execution as it is stored.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record {
    pub enrollment: u32,
    pub contact: u32,
    plan: u32,
    /// The next record with the same place in the wheel, or the next free record.
    pub next: u32,
    /// The previous one, or a place (`wheel`).
    pub previous: u32,
    visit: u16,
    attempt: u16,
    /// The zone; of a wait for an event, which has none, `since_seq`.
    zone_or_seq: u16,
    since: Millis,
    due: Millis,
    done: [u8; 13],
    state: State,
    step: u8,
    retries: u8,
    hops: u8,
    flags: u8,
}

const _: () = assert!(size_of::<Record>() == 56);

const MIGRATES: u8 = 1;
const USED_EVENT: u8 = 2;

impl Record {
    pub fn new(enrollment: u32, contact: u32, execution: &Execution) -> Record {
        Record {
            enrollment,
            contact,
            plan: execution.plan,
            next: crate::index::slab::NONE,
            previous: crate::index::slab::NONE,
            visit: execution.visit,
            attempt: execution.attempt,
            zone_or_seq: match execution.state {
                Listening => execution.since_seq,
                _ => execution.zone,
            },
            since: Millis::of(Some(execution.since)),
            due: Millis::of(execution.due),
            done: execution.done.to_bytes(),
            state: execution.state,
            step: execution.step,
            retries: execution.retries,
            hops: execution.hops,
            flags: (u8::from(execution.migrates) * MIGRATES)
                | (u8::from(execution.used_event) * USED_EVENT),
        }
    }

    pub fn execution(&self) -> Execution {
        let (zone, since_seq) = match self.state {
            Listening => (UTC, self.zone_or_seq),
            _ => (self.zone_or_seq, 0),
        };
        Execution {
            plan: self.plan,
            state: self.state,
            step: self.step,
            visit: self.visit,
            attempt: self.attempt,
            retries: self.retries,
            hops: self.hops,
            zone,
            since: self.since.get().unwrap_or(0),
            since_seq,
            due: self.due.get(),
            done: Steps::from_bytes(self.done),
            migrates: self.flags & MIGRATES != 0,
            used_event: self.flags & USED_EVENT != 0,
        }
    }

    pub fn due(&self) -> Option<i64> {
        self.due.get()
    }
}

impl Linked for Record {
    fn next(&self) -> u32 {
        self.next
    }
    fn set_next(&mut self, next: u32) {
        self.next = next;
    }
}
