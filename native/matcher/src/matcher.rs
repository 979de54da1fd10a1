//! The state of one shard: its workflows and active enrollments. The binding holds one.

mod executions;
mod joint;

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use arrayvec::ArrayVec;
use uuid::Uuid;

use crate::buffer::{BufferError, BufferReader};
use crate::config::{ConfigError, Workflow, WorkflowSpec};
use crate::decode::decode;
use crate::evaluate::{EvaluateOptions, Evaluation, Rules, StoredFacts, explain};
use crate::event::reject::Reject;
use crate::event::{Event, Text};
use crate::executions::{Context, ExecutionLoader, Grants, Options, Registry, apply_transition};
use crate::index::{HIGH_FANOUT, Index, LoadError, Loader, NewEnrollment, Stats};

use self::joint::Joint;

pub use crate::index::{MissingEnds, Target};
use crate::proposal::{Effect, EntryRef, Proposal, Slice, Status};
use crate::route::routing_key;

/// A bit in the mark of a committed effect; see `Matcher::apply`.
pub const EXCLUDES: u8 = 2;

/// Events whose contacts are prefetched together, so that their cache misses overlap.
const GROUP: usize = 32;
/// The bytes of such events, unless one alone is larger. More would be decoded in vain if the
/// first of them uses the turn.
const GROUP_BYTES: usize = 64 * 1024;

/// Numbers the states of memory and the proposals of all matchers in the process. A proposal
/// of another matcher is therefore as stale as an old one.
static GENERATIONS: AtomicU64 = AtomicU64::new(1);

/// Why a proposal cannot be applied. Memory is unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplyError {
    /// Memory changed after the proposal was evaluated.
    Stale,
    /// There is not one mark for each effect and each transition.
    Lengths { rows: usize, marks: usize },
}

impl fmt::Display for ApplyError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ApplyError::Stale => {
                to.write_str("the proposal is stale: memory changed after it was evaluated")
            }
            ApplyError::Lengths { rows, marks } => {
                write!(
                    to,
                    "expected one mark for each of {rows} effects or transitions, got {marks}"
                )
            }
        }
    }
}

impl std::error::Error for ApplyError {}

/// The goals, active enrollments and executions of a range of slots.
#[derive(Debug)]
pub struct Matcher {
    index: Index,
    loader: Loader,
    /// The plans of executions.
    registry: Registry,
    execution_loader: ExecutionLoader,
    rules: Rules,
    /// The state of the enrollments in memory.
    generation: u64,
    /// The number of the proposal that is partly applied, and the ends of its applied effects and
    /// transitions.
    applied: Option<(u64, (usize, usize))>,
}

impl Default for Matcher {
    fn default() -> Matcher {
        Matcher::new(Rules::default())
    }
}

impl Matcher {
    pub fn new(rules: Rules) -> Matcher {
        Matcher::with_fanout(rules, HIGH_FANOUT)
    }

    /// A matcher that groups the enrollments of contacts with more than `high_fanout_above` of
    /// them. The result of an evaluation does not depend on it.
    pub fn with_fanout(rules: Rules, high_fanout_above: usize) -> Matcher {
        let mut matcher = Matcher {
            index: Index::new(high_fanout_above, rules.late_us),
            loader: Loader::default(),
            registry: Registry::default(),
            execution_loader: ExecutionLoader::default(),
            rules,
            generation: 0,
            applied: None,
        };
        matcher.start_generation();
        matcher
    }

    /// Makes all earlier proposals stale. Called when enrollments change.
    fn start_generation(&mut self) {
        self.generation = GENERATIONS.fetch_add(1, Ordering::Relaxed);
        self.applied = None;
    }

    /// Replaces the configuration of these workflows (E8); all of them, or none if one is
    /// invalid. Other workflows keep theirs. An earlier proposal can still be applied, because
    /// its events were evaluated under the configuration at their arrival (E1).
    pub fn update_workflows(&mut self, specs: &[WorkflowSpec]) -> Result<(), ConfigError> {
        let mut seen = BTreeSet::new();
        let mut workflows = Vec::with_capacity(specs.len());
        for spec in specs {
            let workflow = Workflow::read(spec)?;
            if !seen.insert((&spec.tenant_id, &spec.workflow_id)) {
                let (id, tenant) = (&spec.workflow_id, &spec.tenant_id);
                return Err(ConfigError(format!(
                    "duplicate workflow {id} of tenant {tenant}"
                )));
            }
            workflows.push((spec.tenant_id.clone(), spec.workflow_id.clone(), workflow));
        }
        self.index.configure(workflows);
        Ok(())
    }

    /// Removes the configuration of these (tenant, workflow) pairs; unknown ones are ignored.
    /// Their enrollments stay and match nothing (E5). An earlier proposal can still be applied.
    pub fn remove_workflows<'a>(
        &mut self,
        workflows: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) {
        self.index.unconfigure(workflows);
    }

    /// These tenants have a projection of contacts from now on: events that describe contacts are
    /// part of the proposals.
    pub fn keep_contacts<'a>(&mut self, tenants: impl IntoIterator<Item = &'a str>) {
        self.index.keep_contacts(tenants);
    }

    /// Sets the secret of the keys of forwards. Call it before `set_forwards`.
    pub fn set_forward_secret(&mut self, secret: &str) {
        self.index.set_forward_secret(secret);
    }

    /// Adds forwards (tenant, key, target): events of these contacts are passed on to the targets,
    /// and their enrollments are removed with `evict`. Removes those without a target.
    pub fn set_forwards<'a>(
        &mut self,
        forwards: impl IntoIterator<Item = (&'a str, Uuid, Option<Target>)>,
    ) {
        for (tenant, key, target) in forwards {
            self.index.set_forward(tenant, key, target);
        }
    }

    /// Loads the rows of the next chunk of a COPY stream and returns their number. Rows before
    /// an error in the stream are loaded.
    pub fn load(&mut self, chunk: &[u8]) -> Result<usize, LoadError> {
        self.start_generation();
        self.loader.feed(chunk, |row| self.index.insert(row))
    }

    /// Whether the last stream was complete, that is, ended with its trailer.
    pub fn load_ended(&self) -> bool {
        self.loader.ended()
    }

    /// Removes the enrollments of these (tenant, contact) pairs.
    pub fn evict<'a>(&mut self, contacts: impl IntoIterator<Item = (&'a str, &'a str)>) {
        for (tenant, contact) in contacts {
            if self.index.evict(tenant, contact) {
                self.start_generation();
            }
            // One of its enrollments may have ended.
            self.index.insert_ended(tenant, contact, None);
        }
    }

    /// These (tenant, contact) pairs get enrollments that have ended at any time (E18).
    pub fn mark_ended<'a>(&mut self, contacts: impl IntoIterator<Item = (&'a str, &'a str)>) {
        for (tenant, contact) in contacts {
            self.index.insert_ended(tenant, contact, None);
        }
    }

    /// Evaluates the events of these buffers, in order, within the limits on work. Memory does
    /// not change.
    pub fn evaluate(
        &self,
        buffers: &[&[u8]],
        now_us: i64,
        options: EvaluateOptions<'_>,
    ) -> Result<Proposal, BufferError> {
        self.evaluate_all(buffers, now_us, options, None)
    }

    /// The same, together with the executions of goald's own workflows: their inputs, timers and due
    /// steps (X1).
    pub fn evaluate_with_executions(
        &self,
        buffers: &[&[u8]],
        now_us: i64,
        options: EvaluateOptions<'_>,
        executions: Options<'_>,
    ) -> Result<Proposal, BufferError> {
        let granted: Option<HashSet<(&str, &str)>> = match executions.grants {
            Grants::All => None,
            Grants::Some(grants) => {
                let keys = grants
                    .iter()
                    .map(|(tenant, _, execution)| (&**tenant, &**execution));
                Some(keys.collect())
            }
        };
        let context = Context {
            index: &self.index,
            registry: &self.registry,
            options: executions,
            clock_skew: self.rules.clock_skew_us.div_euclid(1_000),
            granted: granted.as_ref(),
        };
        self.evaluate_all(buffers, now_us, options, Some(Joint::new(context)))
    }

    fn evaluate_all<'c>(
        &'c self,
        buffers: &[&'c [u8]],
        now_us: i64,
        options: EvaluateOptions<'c>,
        mut joint: Option<Joint<'c>>,
    ) -> Result<Proposal, BufferError> {
        let mut evaluation = Evaluation::new(&self.index, self.rules, options);
        let (mut sources, mut events) = (ArrayVec::new(), Vec::with_capacity(GROUP));
        let mut bytes = 0;
        for (buffer, entries) in buffers.iter().enumerate() {
            for entry in BufferReader::new(entries)? {
                let entry = EntryRef { buffer, entry };
                if evaluation.defer(entry) {
                    continue;
                }
                bytes += entry.entry.event.len();
                sources.push(entry);
                events.push(decode(entry.entry.event, now_us)); // not in a tuple, which is copied
                if sources.is_full() || bytes >= GROUP_BYTES {
                    apply_group(&mut evaluation, joint.as_mut(), &sources, &events);
                    sources.clear();
                    events.clear();
                    bytes = 0;
                }
            }
        }
        apply_group(&mut evaluation, joint.as_mut(), &sources, &events);
        let mut proposal = match joint {
            Some(joint) => joint.finish(evaluation),
            None => evaluation.finish(),
        };
        proposal.generation = self.generation;
        proposal.number = GENERATIONS.fetch_add(1, Ordering::Relaxed);
        Ok(proposal)
    }

    /// Applies the effects that were committed: `effective` has one byte for each effect of
    /// the proposal, 0 if it was not committed. A committed start also has `EXCLUDES` set if
    /// events had counted for earlier enrollments of its contact in its workflow (E11).
    pub fn apply(&mut self, proposal: &Proposal, effective: &[u8]) -> Result<(), ApplyError> {
        self.apply_slice(proposal, &proposal.whole(), effective, &[])
    }

    /// Applies a slice of a proposal: `effective` has its effects, and `transitions` one byte for
    /// each of its transitions, 0 if it was not committed. Slices must be applied in order, and
    /// nothing else may change memory between them.
    pub fn apply_slice(
        &mut self,
        proposal: &Proposal,
        slice: &Slice,
        effective: &[u8],
        transitions: &[u8],
    ) -> Result<(), ApplyError> {
        self.check_slice(proposal, slice, effective, transitions)?;
        let effects = proposal.effects_in(slice).iter().zip(effective);
        for (effect, mark) in effects.filter(|(_, mark)| **mark != 0) {
            self.apply_effect(effect, *mark);
            self.start_generation();
        }
        let rows = proposal.transitions()[slice.transitions.clone()].iter();
        for (transition, _) in rows.zip(transitions).filter(|(_, mark)| **mark != 0) {
            apply_transition(&mut self.index, transition);
            self.start_generation();
        }
        self.forget_moved();
        let ends = (slice.effects.end, slice.transitions.end);
        self.applied = Some((proposal.number, ends));
        Ok(())
    }

    /// Whether a slice of a proposal can be applied.
    fn check_slice(
        &self,
        proposal: &Proposal,
        slice: &Slice,
        effective: &[u8],
        transitions: &[u8],
    ) -> Result<(), ApplyError> {
        for (rows, marks) in [
            (&slice.effects, effective),
            (&slice.transitions, transitions),
        ] {
            if rows.len() != marks.len() {
                return Err(ApplyError::Lengths {
                    rows: rows.len(),
                    marks: marks.len(),
                });
            }
        }
        let start = (slice.effects.start, slice.transitions.start);
        let is_next = self.applied == Some((proposal.number, start));
        if !is_next && (start != (0, 0) || proposal.generation != self.generation) {
            return Err(ApplyError::Stale);
        }
        Ok(())
    }

    /// The missed events of a proposal are committed, after it was applied: memory does not propose
    /// later ones of their enrollments (E19). Those of the tenants in `dropped` were not kept.
    pub fn mark_missed(&mut self, proposal: &Proposal, dropped: &[String]) {
        for run in &proposal.missed_runs {
            let event = &proposal.missed_events[run.number];
            if dropped.iter().any(|tenant| **tenant == *event.tenant_id) {
                continue;
            }
            let contact = self.index.contact(&event.tenant_id, &event.contact_id);
            let number = contact.and_then(|at| self.index.find_enrollment(at, &run.enrollment_id));
            if let Some(number) = number {
                self.index.set_missed(number, event.received_ms);
            }
        }
    }

    /// The ends of enrollments that memory lacks (E18), of a tenant with this name. `None` if it has
    /// all that may be watched. Forgets those that are not watched any more.
    pub fn ended_to_load(&mut self, now_us: i64) -> Option<(&str, MissingEnds)> {
        self.index.ended_mut().sweep(now_us);
        self.index.ended_to_load(now_us)
    }

    /// Adds ends of a tenant's enrollments (contact, time). With them, all of those that the tenant
    /// lacked at this generation are loaded back to the time `first`. Returns the time back to
    /// which it lacks ends now; `None` if it lacks none, or has another generation.
    pub fn add_ended<'a>(
        &mut self,
        tenant: &str,
        generation: u64,
        rows: impl IntoIterator<Item = (&'a str, i64)>,
        first: i64,
        now_us: i64,
    ) -> Option<i64> {
        for (contact, ended_at) in rows {
            self.index.load_ended(tenant, contact, ended_at, now_us);
        }
        let tenant = self.index.tenant(tenant)?;
        let ended = self.index.ended_mut();
        ended.set_loaded(tenant, generation, first, now_us)
    }

    fn apply_effect(&mut self, effect: &Effect, mark: u8) {
        if effect.after_end {
            return;
        }
        if effect.may_be_watched() {
            let (tenant, contact) = (&effect.tenant_id, &effect.contact_id);
            self.index.insert_ended(tenant, contact, effect.ended_at);
        }
        let excludes = mark & EXCLUDES != 0 || effect.excludes();
        match (effect.record, effect.status) {
            (None, Status::Active) => self.index.insert(NewEnrollment {
                tenant: &effect.tenant_id,
                contact: &effect.contact_id,
                enrollment: &effect.enrollment_id,
                workflow: &effect.workflow_id,
                enrolled_at: effect.enrolled_at,
                met: &effect.met,
                excludes,
                match_values: effect.match_values.as_ref(),
                joined_at: None,
            }),
            (None, _) => {}
            (Some(record), status) => {
                let contact = self.index.contact(&effect.tenant_id, &effect.contact_id);
                match (contact, status) {
                    (None, _) => {}
                    (Some(at), Status::Active) => self.index.add_met(at, record, &effect.met),
                    (Some(at), _) => self.index.remove(at, record),
                }
            }
        }
    }

    /// The distinct (tenant, contact) pairs of the events in these buffers, sorted.
    pub fn contacts_of(buffers: &[&[u8]]) -> Result<Vec<(String, String)>, BufferError> {
        let mut contacts = BTreeSet::new();
        for bytes in buffers {
            let keys = BufferReader::new(bytes)?.filter_map(|entry| routing_key(entry.event).ok());
            contacts.extend(keys);
        }
        let owned = |(tenant, contact): (Text<'_>, Text<'_>)| (tenant.into(), contact.into());
        Ok(contacts.into_iter().map(owned).collect())
    }

    /// Explains the evaluation of one event, as JSON. Changes nothing.
    pub fn explain(
        &self,
        event: &[u8],
        now_us: i64,
        stored: StoredFacts<'_>,
    ) -> Result<String, Reject> {
        Ok(explain(
            &self.index,
            self.rules.clock_skew_us,
            &decode(event, now_us)?,
            stored,
        ))
    }

    pub fn stats(&self) -> Stats {
        self.index.stats()
    }
}

/// Evaluates the entries of a group and their events. The contacts of all of them are prefetched
/// first.
fn apply_group<'c>(
    evaluation: &mut Evaluation<'_>,
    mut joint: Option<&mut Joint<'c>>,
    entries: &ArrayVec<EntryRef<'c>, GROUP>,
    events: &[Result<Event<'c>, Reject>],
) {
    let mut probes = ArrayVec::<_, GROUP>::new();
    let probe = |event: &Result<Event<'_>, Reject>| {
        event
            .as_ref()
            .ok()
            .and_then(|event| evaluation.probe(event))
    };
    probes.extend(events.iter().map(probe));
    evaluation.prefetch(&probes);
    for ((entry, event), probe) in entries.iter().zip(events).zip(probes) {
        match event {
            Ok(event) => {
                let is_complete = evaluation.apply_event(*entry, event, probe);
                if let Some(joint) = &mut joint {
                    joint.apply_event(evaluation, *entry, event, is_complete);
                }
            }
            Err(reject) => evaluation.reject(*entry, reject.to_string()),
        }
    }
}
