//! The work of one call, and the events that wait for a later one (D8).
//!
//! Work is counted in units of roughly 100 ns, including what the commit and the messages of an
//! effect cost later. It is never measured: the same events against the same index always take
//! the same turn.

use std::collections::{BTreeMap, BTreeSet};

use ahash::RandomState;
use hashbrown::HashMap;
use uuid::Uuid;

use super::stored::ended::EndedAnswer;
use super::stored::known_contacts::{KnownState, OldTags};
use super::stored::origins::Origin;
use super::stored::used_events::ExcludedEvent;
use crate::buffer::BufferWriter;
use crate::event::work::{EVENT, EVENT_BYTES, LINE_ITEMS};
use crate::proposal::{Deferred, EntryRef};

pub use crate::event::work::{
    ACHIEVED, ASKED, ASKED_MORE, DELETED, JUDGED, REJECTED, RETURNED, ROW,
};

/// Cheaper events are not charged to their tenants: they cost about as much as charging them.
/// A call is bounded in bytes, and so in such events.
const CHARGED: u64 = 20;
/// The shares of work in one call: at most this many tenants can use theirs.
pub const SHARES: u64 = 2;

/// The options of one call: the work that it may do, and what Postgres knows about its events.
#[derive(Debug, Clone, Copy, Default)]
pub struct EvaluateOptions<'t> {
    /// Units of work for each tenant, beyond which its events are deferred; and for each event,
    /// beyond which it is deferred with the rest of its effects. `None`: no limits.
    pub shares: Option<(u64, u64)>,
    /// Tenants whose events are deferred from the start, because earlier ones are.
    pub deferred: &'t [String],
    /// Starts (tenant, enrollment id) that begin no active enrollment: their ids exist in
    /// Postgres, or their contacts were deleted later.
    pub repeats: &'t [(String, String)],
    /// Events that do not count for an enrollment, of the checks of earlier evaluations (E11, E21).
    pub excluded: &'t [ExcludedEvent],
    /// Listed tags that their contacts had before, of the checks of earlier evaluations (E16).
    pub old_tags: &'t [OldTags],
    /// The states of contacts at starts of enrollments, likewise (E22).
    pub states: &'t [KnownState],
    /// The ended enrollments of contacts, likewise (E18).
    pub ended: &'t [EndedAnswer],
    /// Whether events wait that would ask about further ones, except the first event, so that every
    /// call makes progress.
    pub defers_ended: bool,
    /// Judge each event for these enrollments only (tenant, enrollment id, event): events that they
    /// missed while their workflow was paused (E19). `None`: for all.
    pub only: Option<&'t [(String, String, Uuid)]>,
    /// By the index of a buffer: the merges that moved its contacts after its events, each by when
    /// Redis received it, in order (E21). Other buffers have none.
    pub merges: &'t [(usize, Vec<i64>)],
    /// The buffers that other shards passed on.
    pub origins: &'t [Origin],
}

/// The work of one call.
#[derive(Debug)]
pub struct Turn {
    share: u64,
    /// The work for one event.
    event_limit: u64,
    /// The work of all tenants after which all events wait.
    limit: u64,
    work: u64,
    /// Whether the events of any tenant wait.
    defers_any: bool,
    /// The work at the start of the current event.
    event: u64,
    /// The work charged to each tenant.
    charged: HashMap<Box<str>, u64, RandomState>,
    /// By tenant: its events that wait, for each buffer in order.
    deferred: BTreeMap<Box<str>, Vec<(usize, BufferWriter)>>,
    /// The tenants whose later events wait for the commit of an evaluated one, whatever their share.
    waits_for_commit: BTreeSet<Box<str>>,
}

impl Turn {
    pub fn new(options: EvaluateOptions<'_>) -> Turn {
        let deferred = options.deferred.iter();
        let (share, event_limit) = options.shares.unwrap_or((u64::MAX, u64::MAX));
        let share = share.max(1);
        Turn {
            share,
            event_limit: event_limit.max(1),
            limit: share.saturating_mul(SHARES),
            work: 0,
            defers_any: !options.deferred.is_empty(),
            event: 0,
            charged: HashMap::default(),
            deferred: deferred
                .map(|tenant| (tenant.as_str().into(), Vec::new()))
                .collect(),
            waits_for_commit: BTreeSet::new(),
        }
    }

    /// Starts an event of this size.
    #[inline]
    pub fn start(&mut self, bytes: usize) {
        self.event = self.work;
        self.work += EVENT + bytes as u64 / EVENT_BYTES;
    }

    #[inline]
    pub fn spend(&mut self, units: u64) {
        self.work += units;
    }

    /// Reads this many bytes of an event once more.
    pub fn spend_bytes(&mut self, bytes: usize) {
        self.work += bytes as u64 / EVENT_BYTES;
    }

    pub fn spend_line_items(&mut self, line_items: usize) {
        self.work += line_items as u64 / LINE_ITEMS;
    }

    /// Whether the current event has used its work, so that the rest of its effects must wait.
    #[inline]
    pub fn is_spent(&self) -> bool {
        self.work - self.event >= self.event_limit
    }

    /// Ends the current event, which is of this tenant.
    #[inline]
    pub fn end(&mut self, tenant: &str) {
        let work = self.work - self.event;
        if work >= CHARGED {
            self.charge(tenant, work);
        }
        self.defers_any |= self.work >= self.limit;
    }

    #[cold]
    fn charge(&mut self, tenant: &str, work: u64) {
        let charged = match self.charged.get_mut(tenant) {
            Some(charged) => charged,
            None => self.charged.entry(tenant.into()).or_insert(0),
        };
        *charged += work;
        if *charged >= self.share {
            self.deferred.entry(tenant.into()).or_default();
            self.defers_any = true;
        }
    }

    /// Whether the events of any tenant wait.
    #[inline]
    pub fn defers_any(&self) -> bool {
        self.defers_any
    }

    /// Whether the events of this tenant wait.
    pub fn defers(&self, tenant: &str) -> bool {
        self.work >= self.limit || self.deferred.contains_key(tenant)
    }

    /// Lets the later events of this tenant wait for the commit, if there are limits.
    #[cold]
    pub fn wait(&mut self, tenant: &str) {
        if self.share < u64::MAX {
            self.hold(tenant);
        }
    }

    /// Lets the later events of this tenant wait for the commit.
    #[cold]
    pub fn hold(&mut self, tenant: &str) {
        self.deferred.entry(tenant.into()).or_default();
        self.waits_for_commit.insert(tenant.into());
        self.defers_any = true;
    }

    /// Whether events of this tenant wait for the commit of an evaluated one.
    pub fn holds(&self, tenant: &str) -> bool {
        self.waits_for_commit.contains(tenant)
    }

    /// Keeps an event of this tenant for a later call, after those kept before.
    pub fn defer(&mut self, tenant: &str, entry: EntryRef<'_>) {
        self.defers_any = true;
        let buffers = match self.deferred.get_mut(tenant) {
            Some(buffers) => buffers,
            None => self.deferred.entry(tenant.into()).or_default(),
        };
        if buffers.last().is_none_or(|last| last.0 != entry.buffer) {
            buffers.push((entry.buffer, BufferWriter::new()));
        }
        if let Some((_, writer)) = buffers.last_mut() {
            writer.push(entry.entry.ms, entry.entry.seq, entry.entry.event);
        }
    }

    /// The work done, and the events that wait.
    pub fn finish(self) -> (u64, Vec<Deferred>) {
        let of_tenant = |(tenant, buffers): (Box<str>, Vec<(usize, BufferWriter)>)| {
            let deferred = move |(buffer, writer): (usize, BufferWriter)| Deferred {
                tenant_id: tenant.clone(),
                buffer,
                events: writer.entries(),
                bytes: writer.finish(),
            };
            buffers.into_iter().map(deferred)
        };
        let deferred = self.deferred.into_iter().flat_map(of_tenant);
        (self.work, deferred.collect())
    }
}
