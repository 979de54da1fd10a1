//! A proposal in slices, each committed by itself: what one transaction holds is bounded,
//! however many enrollments an event meets.

use std::ops::Range;

use crate::proposal::{Achievement, Effect, Exit, Proposal};

/// About what a row takes beside its texts, with the message that is made of it.
const ROW: usize = 128;
const MESSAGE: usize = 512;
const UUID: usize = 40;

/// Some effects of a proposal, in order, and what hangs on them. What hangs on no effect
/// belongs to the last slice: deletions and acknowledgements come after what they are about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    pub effects: Range<usize>,
    /// Places of achievements in the proposal, in order.
    pub achievements: Vec<usize>,
    /// Places of exits, in order.
    pub exits: Vec<usize>,
    pub is_last: bool,
}

impl Proposal {
    /// All of it.
    pub fn whole(&self) -> Slice {
        Slice {
            effects: 0..self.effects.len(),
            achievements: (0..self.achievements.len()).collect(),
            exits: (0..self.exits.len()).collect(),
            is_last: true,
        }
    }

    /// The proposal in slices of at most so many effects and, about, bytes to be written; one
    /// effect always fits. There is at least one slice. An enrollment's rows lie in one.
    pub fn slices(&self, most_effects: usize, most_bytes: usize) -> Vec<Slice> {
        let mut ends = Vec::new();
        let (mut effects, mut bytes) = (0, 0);
        for (number, weight) in self.weights().into_iter().enumerate() {
            if effects > 0 && (effects == most_effects || bytes + weight > most_bytes) {
                ends.push(number);
                (effects, bytes) = (0, 0);
            }
            effects += 1;
            bytes += weight;
        }
        if ends.is_empty() {
            return vec![self.whole()];
        }
        ends.push(self.effects.len());
        self.cut(&self.whole(), &ends)
    }

    /// A slice in two; `None` where it is of one thing alone.
    pub fn halves(&self, slice: &Slice) -> Option<(Slice, Slice)> {
        let Range { start, end } = slice.effects;
        let has_tail = !self.deletions.is_empty() || !self.acknowledgements.is_empty();
        let middle = match end - start {
            0 => return None,
            1 if slice.is_last && has_tail => end,
            1 => return None,
            count => start + count / 2,
        };
        let mut halves = self.cut(slice, &[middle, end]);
        let second = halves.pop()?;
        Some((halves.pop()?, second))
    }

    /// A slice at these ends of effects, of which the last is its own.
    fn cut(&self, slice: &Slice, ends: &[usize]) -> Vec<Slice> {
        let mut start = slice.effects.start;
        let mut slices: Vec<Slice> = ends
            .iter()
            .map(|&end| Slice {
                effects: std::mem::replace(&mut start, end)..end,
                achievements: Vec::new(),
                exits: Vec::new(),
                is_last: false,
            })
            .collect();
        let holder = |effect: usize| ends.partition_point(|&end| end <= effect);
        for &row in &slice.achievements {
            slices[holder(self.achievements[row].effect)]
                .achievements
                .push(row);
        }
        for &row in &slice.exits {
            slices[holder(self.exits[row].effect)].exits.push(row);
        }
        if let Some(last) = slices.last_mut() {
            last.is_last = slice.is_last;
        }
        slices
    }

    /// About how many bytes each effect brings to a commit.
    fn weights(&self) -> Vec<usize> {
        let mut weights: Vec<usize> = self.effects.iter().map(of_effect).collect();
        for row in &self.achievements {
            weights[row.effect] += of_achievement(row) + ids(&self.effects[row.effect]);
        }
        for row in &self.exits {
            weights[row.effect] += of_exit(row) + ids(&self.effects[row.effect]);
        }
        weights
    }
}

fn ids(effect: &Effect) -> usize {
    effect.tenant_id.len()
        + effect.enrollment_id.len()
        + effect.contact_id.len()
        + effect.workflow_id.len()
}

fn of_effect(effect: &Effect) -> usize {
    ROW + ids(effect) + UUID * effect.met.len()
}

/// Its payloads are written twice: in its row, and in the notice.
fn of_achievement(row: &Achievement) -> usize {
    ROW + MESSAGE + 2 * (row.trigger_event.len() + row.metadata.len())
}

fn of_exit(row: &Exit) -> usize {
    let texts = row.event_id.len() + row.event_source.len() + row.event_type.len();
    MESSAGE + texts + UUID * row.goal_ids.len()
}
