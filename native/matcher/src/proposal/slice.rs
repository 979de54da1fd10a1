//! Slices of a proposal. Each is committed in its own transaction, so that the size of a
//! transaction is bounded even if one event matches very many enrollments.

use std::collections::BTreeMap;
use std::ops::Range;

use ahash::RandomState;
use hashbrown::HashMap;

use super::effect::{Effect, EndedRun, Owner, SourceEntry};
use super::execution::Transition;
use super::rows::{Achievement, Exit, Proposal, UsedEvent};
use super::units::Unit;
use crate::event::MatchValues;

/// Estimated bytes of a row and of a message in addition to their texts, and of a UUID.
const ROW: usize = 128;
const MESSAGE: usize = 512;
const UUID: usize = 40;

/// A run of effects and a run of transitions, and the rows that belong to them. Rows that belong to
/// none (deletions, acknowledgements, reversals and events that describe contacts) are part of the
/// last slice, after everything they refer to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    pub effects: Range<usize>,
    pub transitions: Range<usize>,
    /// Numbers of achievements in the proposal, in order.
    pub achievements: Vec<usize>,
    /// Numbers of exits in the proposal, in order.
    pub exits: Vec<usize>,
    /// Numbers of used events in the proposal, in order.
    pub used_events: Vec<usize>,
    pub is_last: bool,
}

impl Proposal {
    /// The whole proposal as one slice.
    pub fn whole(&self) -> Slice {
        Slice {
            effects: 0..self.effects.len(),
            transitions: 0..self.transitions().len(),
            achievements: (0..self.achievements.len()).collect(),
            exits: (0..self.exits.len()).collect(),
            used_events: (0..self.used_events.len()).collect(),
            is_last: true,
        }
    }

    /// Splits the proposal into slices of at most `max_effects` effects and transitions, and about
    /// `max_bytes` bytes to be written. A slice has at least one of them, so that a very large one
    /// can exceed `max_bytes`; and it exceeds both rather than to separate effects that
    /// `inseparable` keeps together, or those of a contact with transitions. Returns at least one
    /// slice. All rows of an enrollment are in the same slice.
    pub fn slices(&self, max_effects: usize, max_bytes: usize) -> Vec<Slice> {
        let whole = self.whole();
        let sizes = self.effect_sizes();
        let of_transitions: Vec<usize> = self.transitions().iter().map(transition_size).collect();
        let bytes = |sizes: &[usize]| sizes.iter().sum::<usize>();
        let fits = sizes.len() + of_transitions.len() <= max_effects
            && bytes(&sizes) + bytes(&of_transitions) <= max_bytes;
        if fits {
            return vec![whole];
        }
        let mut ends = Vec::new();
        let (mut rows, mut used) = (0, 0);
        let mut last = (0, 0);
        for unit in self.units(whole.effects.clone(), whole.transitions.clone()) {
            let of_effects = bytes(&sizes[unit.effects.clone()]);
            let size = of_effects + bytes(&of_transitions[unit.transitions.clone()]);
            if rows > 0 && (rows + unit.len() > max_effects || used + size > max_bytes) {
                ends.push(last);
                (rows, used) = (0, 0);
            }
            rows += unit.len();
            used += size;
            last = (unit.effects.end, unit.transitions.end);
        }
        ends.push((self.effects.len(), self.transitions().len()));
        self.split_at(&whole, &ends)
    }

    /// For each effect, whether it must be in one slice with the effect before it.
    ///
    /// An event counts for the runs that had started before it, and not for later ones (E11).
    /// Postgres knows the order of starts and used events by their transactions only. So the runs
    /// of a contact through a workflow that the batch starts, and those for which an event counts,
    /// are committed together, with everything between them.
    pub(super) fn inseparable(&self) -> Vec<bool> {
        let mut used: HashMap<_, Range<usize>, RandomState> = HashMap::default();
        for row in &self.used_events {
            let runs = self.effects[row.effect].runs();
            let span = used.entry(runs).or_insert(row.effect..row.effect);
            extend(span, row.effect);
        }
        let mut started: HashMap<_, Range<usize>, RandomState> = HashMap::default();
        if !used.is_empty() {
            let effects = self.effects.iter().enumerate();
            for (number, effect) in effects.filter(|(_, effect)| effect.is_new()) {
                if let Some(span) = used.get(&effect.runs()) {
                    let span = started.entry(effect.runs()).or_insert(span.clone());
                    extend(span, number);
                }
            }
        }
        let mut changes = vec![0_isize; self.effects.len()];
        for span in started.into_values() {
            changes[span.start] += 1;
            changes[span.end] -= 1;
        }
        let mut open = 0;
        let is_within = |change: isize| {
            let is_within = open > 0;
            open += change;
            is_within
        };
        changes.into_iter().map(is_within).collect()
    }

    /// Splits a slice in two, in order. `None` if it cannot be split: it holds a single effect, or
    /// one contact with transitions. Separates inseparable effects only if the slice has no others.
    pub fn halves(&self, slice: &Slice) -> Option<(Slice, Slice)> {
        let end = (slice.effects.end, slice.transitions.end);
        let units = self.units(slice.effects.clone(), slice.transitions.clone());
        let middle = match &units[..] {
            [] => return None,
            [unit] if unit.transitions.is_empty() && unit.len() > 1 => {
                (unit.effects.start + unit.len() / 2, end.1)
            }
            [_] if slice.is_last && self.has_unattached_rows() => end,
            [_] => return None,
            units => {
                let half = units.iter().map(Unit::len).sum::<usize>() / 2;
                let mut before = 0;
                let ends = units[..units.len() - 1].iter().map(|unit| {
                    before += unit.len();
                    (before, (unit.effects.end, unit.transitions.end))
                });
                ends.min_by_key(|(before, _)| before.abs_diff(half))?.1
            }
        };
        let mut halves = self.split_at(slice, &[middle, end]);
        let second = halves.pop()?;
        Some((halves.pop()?, second))
    }

    /// Whether a slice has no rows to commit.
    pub fn slice_changes_nothing(&self, slice: &Slice) -> bool {
        slice.effects.is_empty()
            && slice.transitions.is_empty()
            && !(slice.is_last && self.has_unattached_rows())
    }

    /// The effects of a slice.
    pub fn effects_in(&self, slice: &Slice) -> &[Effect] {
        &self.effects[slice.effects.clone()]
    }

    /// The achievements of a slice, each with the index of its effect in the slice.
    pub fn achievements_in(
        &self,
        slice: &Slice,
    ) -> impl ExactSizeIterator<Item = (usize, &Achievement)> {
        let rows = slice
            .achievements
            .iter()
            .map(|&row| &self.achievements[row]);
        rows.map(|row| (row.effect - slice.effects.start, row))
    }

    /// The exits of a slice, each with the index of its effect in the slice.
    pub fn exits_in(&self, slice: &Slice) -> impl ExactSizeIterator<Item = (usize, &Exit)> {
        let rows = slice.exits.iter().map(|&row| &self.exits[row]);
        rows.map(|row| (row.effect - slice.effects.start, row))
    }

    /// The used events of a slice, each with the index of its effect in the slice.
    pub fn used_events_in(
        &self,
        slice: &Slice,
    ) -> impl ExactSizeIterator<Item = (usize, &UsedEvent)> {
        let rows = slice.used_events.iter().map(|&row| &self.used_events[row]);
        rows.map(|row| (row.effect - slice.effects.start, row))
    }

    /// The rejected events of a slice with their reasons. `owners` has the owners of enrollment
    /// ids that Postgres has under another contact or workflow (E5), by the index of the effect
    /// in the slice; and `ended` those that had ended before (E12).
    pub fn rejected_in(
        &self,
        slice: &Slice,
        owners: &BTreeMap<usize, Owner<'_>>,
        ended: &BTreeMap<usize, EndedRun>,
    ) -> Vec<(&SourceEntry, &str)> {
        let mut rejected: Vec<(&SourceEntry, &str)> = Vec::new();
        if slice.is_last {
            for event in &self.rejected {
                rejected.push((&event.source, &event.reason));
            }
        }
        for (number, effect) in self.effects_in(slice).iter().enumerate() {
            let (owner, ended) = (owners.get(&number).copied(), ended.get(&number).copied());
            for (source, reason) in effect.rejected(owner, ended) {
                rejected.push((source, reason));
            }
        }
        rejected
    }

    /// Splits a slice at these numbers of effects and transitions, the last of which are its own
    /// ends.
    fn split_at(&self, slice: &Slice, ends: &[(usize, usize)]) -> Vec<Slice> {
        let mut start = (slice.effects.start, slice.transitions.start);
        let mut slices: Vec<Slice> = ends
            .iter()
            .map(|&end| {
                let start = std::mem::replace(&mut start, end);
                Slice {
                    effects: start.0..end.0,
                    transitions: start.1..end.1,
                    achievements: Vec::new(),
                    exits: Vec::new(),
                    used_events: Vec::new(),
                    is_last: false,
                }
            })
            .collect();
        let slice_of = |effect: usize| ends.partition_point(|&(end, _)| end <= effect);
        for &row in &slice.achievements {
            slices[slice_of(self.achievements[row].effect)]
                .achievements
                .push(row);
        }
        for &row in &slice.exits {
            slices[slice_of(self.exits[row].effect)].exits.push(row);
        }
        for &row in &slice.used_events {
            slices[slice_of(self.used_events[row].effect)]
                .used_events
                .push(row);
        }
        if let Some(last) = slices.last_mut() {
            last.is_last = slice.is_last;
        }
        slices
    }

    /// The estimated bytes that each effect adds to a commit.
    fn effect_sizes(&self) -> Vec<usize> {
        let mut sizes: Vec<usize> = self.effects.iter().map(effect_size).collect();
        for row in &self.achievements {
            sizes[row.effect] += achievement_size(row) + id_size(&self.effects[row.effect]);
        }
        for row in &self.exits {
            sizes[row.effect] += exit_size(row) + id_size(&self.effects[row.effect]);
        }
        sizes
    }
}

/// A transition has a row, rows of the log, and a message if it publishes a job.
fn transition_size(row: &Transition) -> usize {
    let job = row.job.as_ref().map_or(0, |job| MESSAGE + job.config.len());
    3 * ROW + row.execution.len() + row.contact.len() + job
}

/// Extends a span of effect numbers, from the first to the last, to one more.
fn extend(span: &mut Range<usize>, effect: usize) {
    *span = span.start.min(effect)..span.end.max(effect);
}

fn id_size(effect: &Effect) -> usize {
    effect.tenant_id.len()
        + effect.enrollment_id.len()
        + effect.contact_id.len()
        + effect.workflow_id.len()
}

fn effect_size(effect: &Effect) -> usize {
    let values = effect.match_values.as_ref().map_or(0, MatchValues::bytes);
    ROW + id_size(effect) + UUID * effect.met.len() + values
}

/// The payloads count twice: they are written to the row and to the notice.
fn achievement_size(row: &Achievement) -> usize {
    ROW + MESSAGE + 2 * (row.trigger_event.len() + row.metadata.len())
}

fn exit_size(row: &Exit) -> usize {
    let texts = row.event_id.len() + row.event_source.len() + row.event_type.len();
    MESSAGE + texts + UUID * row.goal_ids.len()
}
