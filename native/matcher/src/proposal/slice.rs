//! Slices of a proposal. Each is committed in its own transaction, so that the size of a
//! transaction is bounded even if one event matches very many enrollments.

use std::collections::BTreeMap;
use std::ops::Range;

use ahash::RandomState;
use hashbrown::HashMap;

use super::effect::{Effect, EndedRun, Owner, SourceEntry};
use super::rows::{Achievement, Exit, Proposal, UsedEvent};
use crate::event::MatchValues;

/// Estimated bytes of a row and of a message in addition to their texts, and of a UUID.
const ROW: usize = 128;
const MESSAGE: usize = 512;
const UUID: usize = 40;

/// A run of effects and the rows that belong to them. Rows that belong to no effect (deletions,
/// acknowledgements, reversals and events that describe contacts) are part of the last slice, after everything they refer to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    pub effects: Range<usize>,
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
            achievements: (0..self.achievements.len()).collect(),
            exits: (0..self.exits.len()).collect(),
            used_events: (0..self.used_events.len()).collect(),
            is_last: true,
        }
    }

    /// Splits the proposal into slices of at most `max_effects` effects and about `max_bytes`
    /// bytes to be written. A slice has at least one effect, so that one very large effect can
    /// exceed `max_bytes`; and it exceeds both rather than to separate effects that `inseparable`
    /// keeps together. Returns at least one slice. All rows of an enrollment are in the same slice.
    pub fn slices(&self, max_effects: usize, max_bytes: usize) -> Vec<Slice> {
        let sizes = self.effect_sizes();
        if sizes.len() <= max_effects && sizes.iter().sum::<usize>() <= max_bytes {
            return vec![self.whole()];
        }
        let inseparable = self.inseparable();
        let mut ends = Vec::new();
        let (mut effects, mut bytes) = (0, 0);
        for (number, size) in sizes.into_iter().enumerate() {
            let exceeds = effects >= max_effects || bytes + size > max_bytes;
            if effects > 0 && exceeds && !inseparable[number] {
                ends.push(number);
                (effects, bytes) = (0, 0);
            }
            effects += 1;
            bytes += size;
        }
        ends.push(self.effects.len());
        self.split_at(&self.whole(), &ends)
    }

    /// For each effect, whether it must be in one slice with the effect before it.
    ///
    /// An event counts for the runs that had started before it, and not for later ones (E11).
    /// Postgres knows the order of starts and used events by their transactions only. So the runs
    /// of a contact through a workflow that the batch starts, and those for which an event counts,
    /// are committed together, with everything between them.
    fn inseparable(&self) -> Vec<bool> {
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

    /// Splits a slice in two, in order. `None` if it holds a single effect, or none. Separates
    /// inseparable effects only if the slice has no others.
    pub fn halves(&self, slice: &Slice) -> Option<(Slice, Slice)> {
        let Range { start, end } = slice.effects;
        let middle = match end - start {
            0 => return None,
            1 if slice.is_last && self.has_unattached_rows() => end,
            1 => return None,
            count => {
                let middle = start + count / 2;
                let inseparable = self.inseparable();
                let possible = (start + 1..end).filter(|&at| !inseparable[at]);
                let nearest = possible.min_by_key(|at| at.abs_diff(middle));
                nearest.unwrap_or(middle)
            }
        };
        let mut halves = self.split_at(slice, &[middle, end]);
        let second = halves.pop()?;
        Some((halves.pop()?, second))
    }

    /// Whether a slice has no rows to commit.
    pub fn slice_changes_nothing(&self, slice: &Slice) -> bool {
        slice.effects.is_empty() && !(slice.is_last && self.has_unattached_rows())
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

    /// Splits a slice at these effect numbers, the last of which is its own end.
    fn split_at(&self, slice: &Slice, ends: &[usize]) -> Vec<Slice> {
        let mut start = slice.effects.start;
        let mut slices: Vec<Slice> = ends
            .iter()
            .map(|&end| Slice {
                effects: std::mem::replace(&mut start, end)..end,
                achievements: Vec::new(),
                exits: Vec::new(),
                used_events: Vec::new(),
                is_last: false,
            })
            .collect();
        let slice_of = |effect: usize| ends.partition_point(|&end| end <= effect);
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
