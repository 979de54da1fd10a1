//! One shard's memory: what the binding holds.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::config::{ConfigError, Workflow, WorkflowSpec};
use crate::decode::decode;
use crate::engine_explain::explain;
use arrayvec::ArrayVec;

use crate::buffer::{BufferError, BufferReader};
use crate::evaluate::Evaluation;
use crate::event::{Event, Text};
use crate::index::{Index, NewEnrollment, Stats};
use crate::load::{LoadError, Loader};
use crate::proposal::{Effect, Place, Proposal, Status};
use crate::reject::Reject;
use crate::route::routing_key;

/// Events that are looked up together, so that their waits for memory overlap.
const GROUP: usize = 32;

/// States of memory and proposals, numbered over all engines of the process: a proposal of
/// another engine is as stale as an old one.
static GENERATIONS: AtomicU64 = AtomicU64::new(1);

/// Why a proposal cannot be applied; memory is as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ApplyError {
    /// Memory is not what the proposal was made from.
    Stale,
    /// The effects are another number than their marks.
    Lengths { effects: usize, marks: usize },
}

impl fmt::Display for ApplyError {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ApplyError::Stale => to.write_str("memory changed since the proposal was made"),
            ApplyError::Lengths { effects, marks } => {
                write!(
                    to,
                    "the proposal has {effects} effects, and {marks} bytes say which hold"
                )
            }
        }
    }
}

impl std::error::Error for ApplyError {}

/// The goals and active enrollments of a range of slots.
#[derive(Debug)]
pub struct Engine {
    index: Index,
    loader: Loader,
    clock_skew_us: i64,
    generation: u64,
    /// The proposal that memory has taken a part of, by its number, and up to which effect.
    applied: Option<(u64, usize)>,
}

impl Engine {
    pub fn new(clock_skew_us: i64) -> Engine {
        let mut engine = Engine {
            index: Index::default(),
            loader: Loader::default(),
            clock_skew_us,
            generation: 0,
            applied: None,
        };
        engine.change();
        engine
    }

    /// Enrollments are about to change: proposals made before are stale.
    fn change(&mut self) {
        self.generation = GENERATIONS.fetch_add(1, Ordering::Relaxed);
        self.applied = None;
    }

    /// Take these workflows in place of what is held of them (E8), or none of them; workflows
    /// that are not named stay as they are. A proposal that
    /// was made before can still be applied: its events were judged when they arrived (E1).
    pub fn update_workflows(&mut self, specs: &[WorkflowSpec]) -> Result<(), ConfigError> {
        let mut seen = BTreeSet::new();
        let mut workflows = Vec::with_capacity(specs.len());
        for spec in specs {
            let workflow = Workflow::read(spec)?;
            if !seen.insert((&spec.tenant_id, &spec.workflow_id)) {
                let (id, tenant) = (&spec.workflow_id, &spec.tenant_id);
                return Err(ConfigError(format!(
                    "workflow {id} of {tenant} is there twice"
                )));
            }
            workflows.push((spec.tenant_id.clone(), spec.workflow_id.clone(), workflow));
        }
        self.index.configure(workflows);
        Ok(())
    }

    /// Take the rows of the next piece of a stream; gives their number. Rows that come before
    /// a fault in the stream are taken.
    pub fn load(&mut self, piece: &[u8]) -> Result<usize, LoadError> {
        self.change();
        self.loader.feed(piece, |row| self.index.insert(row))
    }

    /// Whether the last stream came to its trailer.
    pub fn load_ended(&self) -> bool {
        self.loader.ended()
    }

    /// Drop the enrollments of these (tenant, contact) pairs.
    pub fn forget<'a>(&mut self, contacts: impl IntoIterator<Item = (&'a str, &'a str)>) {
        for (tenant, contact) in contacts {
            if self.index.forget(tenant, contact) {
                self.change();
            }
        }
    }

    /// Hold the events of these buffers, in order, against memory.
    pub fn evaluate(&self, buffers: &[&[u8]], now_us: i64) -> Result<Proposal, BufferError> {
        let mut evaluation = Evaluation::new(&self.index, self.clock_skew_us);
        let mut group = Vec::with_capacity(GROUP);
        for (buffer, bytes) in buffers.iter().enumerate() {
            for entry in BufferReader::new(bytes)? {
                group.push((Place { buffer, entry }, decode(entry.event, now_us)));
                if group.len() == GROUP {
                    take_group(&mut evaluation, &mut group);
                }
            }
        }
        take_group(&mut evaluation, &mut group);
        let mut proposal = evaluation.finish();
        proposal.generation = self.generation;
        proposal.number = GENERATIONS.fetch_add(1, Ordering::Relaxed);
        Ok(proposal)
    }

    /// Take what was committed: `effective` has a mark for each effect of the proposal.
    pub fn apply(&mut self, proposal: &Proposal, effective: &[u8]) -> Result<(), ApplyError> {
        self.apply_slice(proposal, 0..proposal.effects.len(), effective)
    }

    /// The same for some effects of the proposal. Slices are applied in order, and nothing else
    /// may change memory in between.
    pub fn apply_slice(
        &mut self,
        proposal: &Proposal,
        slice: Range<usize>,
        effective: &[u8],
    ) -> Result<(), ApplyError> {
        if slice.len() != effective.len() {
            return Err(ApplyError::Lengths {
                effects: slice.len(),
                marks: effective.len(),
            });
        }
        let is_next = self.applied == Some((proposal.number, slice.start));
        if !is_next && (slice.start > 0 || proposal.generation != self.generation) {
            return Err(ApplyError::Stale);
        }
        let effects = &proposal.effects[slice.clone()];
        let made = effects
            .iter()
            .zip(effective)
            .filter(|(_, mark)| **mark != 0);
        for (effect, _) in made {
            self.take(effect);
            self.change();
        }
        self.applied = Some((proposal.number, slice.end));
        Ok(())
    }

    fn take(&mut self, effect: &Effect) {
        match (effect.held, effect.status) {
            (None, Status::Active) => self.index.insert(NewEnrollment {
                tenant: &effect.tenant_id,
                contact: &effect.contact_id,
                enrollment: &effect.enrollment_id,
                workflow: &effect.workflow_id,
                enrolled_at: effect.enrolled_at,
                met: &effect.met,
            }),
            (None, _) => {}
            (Some(held), Status::Active) => self.index.add_met(held, &effect.met),
            (Some(held), _) => {
                if let Some(contact) = self.index.contact(&effect.tenant_id, &effect.contact_id) {
                    self.index.remove(contact, held);
                }
            }
        }
    }

    /// The distinct (tenant, contact) pairs that these buffers name, in order.
    pub fn contacts_of(buffers: &[&[u8]]) -> Result<Vec<(String, String)>, BufferError> {
        let mut contacts = BTreeSet::new();
        for bytes in buffers {
            let keys = BufferReader::new(bytes)?.filter_map(|entry| routing_key(entry.event).ok());
            contacts.extend(keys);
        }
        let owned = |(tenant, contact): (Text<'_>, Text<'_>)| (tenant.into(), contact.into());
        Ok(contacts.into_iter().map(owned).collect())
    }

    /// A dry run of one event, as JSON.
    pub fn explain(&self, event: &[u8], now_us: i64) -> Result<String, Reject> {
        Ok(explain(
            &self.index,
            self.clock_skew_us,
            &decode(event, now_us)?,
        ))
    }

    pub fn stats(&self) -> Stats {
        self.index.stats()
    }
}

type Decoded<'a> = (Place<'a>, Result<Event<'a>, Reject>);

/// Find the contacts of all these events first: their waits for memory overlap.
fn take_group(evaluation: &mut Evaluation<'_>, group: &mut Vec<Decoded<'_>>) {
    let mut aims = ArrayVec::<_, GROUP>::new();
    let aim =
        |(_, event): &Decoded<'_>| event.as_ref().ok().and_then(|event| evaluation.aim(event));
    aims.extend(group.iter().map(aim));
    evaluation.bring(&aims);
    for ((place, event), aim) in group.iter().zip(aims) {
        match event {
            Ok(event) => evaluation.take(*place, event, aim),
            Err(reject) => evaluation.refuse(*place, reject.to_string()),
        }
    }
    group.clear();
}
