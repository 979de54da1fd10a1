//! The effects and transitions of a proposal that are committed together.

use std::ops::Range;

use ahash::RandomState;
use hashbrown::HashMap;

use super::effect::Effect;
use super::execution::{Subject, Transition};
use super::rows::Proposal;

/// Effects and transitions that are in one slice, and follow each other in the proposal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unit {
    pub effects: Range<usize>,
    pub transitions: Range<usize>,
}

impl Unit {
    pub fn len(&self) -> usize {
        self.effects.len() + self.transitions.len()
    }
}

/// No effect.
const NONE: usize = usize::MAX;

type Contact<'p> = (&'p str, &'p str);

fn contact_of(transition: &Transition) -> Contact<'_> {
    (&transition.tenant, &transition.contact)
}

impl Proposal {
    /// Orders effects and transitions by contact, if executions change: everything about a contact
    /// with transitions is committed together, so that no later phase of it precedes its first
    /// phase (X1). The order within a contact stays.
    pub(crate) fn arrange(&mut self) {
        if self.transitions().is_empty() {
            return;
        }
        let homes = self.homes();
        let order = sorted(self.effects.len(), |effect| homes.of_effect(effect));
        let of_transitions = sorted(self.transitions().len(), |row| homes.transitions[row]);
        drop(homes);
        let numbers = inverse(&order);
        reorder(&mut self.effects, &order);
        let rows = self.achievements.iter_mut().map(|row| &mut row.effect);
        let rows = rows.chain(self.exits.iter_mut().map(|row| &mut row.effect));
        for effect in rows.chain(self.used_events.iter_mut().map(|row| &mut row.effect)) {
            *effect = numbers[*effect];
        }
        let Some(rows) = &mut self.executions else {
            return;
        };
        reorder(&mut rows.transitions, &of_transitions);
        for transition in &mut rows.transitions {
            transition.effect = transition.effect.map(|effect| numbers[effect]);
        }
        let numbers = inverse(&of_transitions);
        for row in &mut rows.logs {
            if let Subject::Transition(transition) = &mut row.subject {
                *transition = numbers[*transition];
            }
        }
        for row in &mut rows.notifications {
            row.transition = numbers[row.transition];
        }
        for (transition, _) in &mut rows.event_checks {
            *transition = numbers[*transition];
        }
    }

    /// The units of a slice with these effects and transitions, in order.
    pub(super) fn units(&self, effects: Range<usize>, transitions: Range<usize>) -> Vec<Unit> {
        let homes = self.homes();
        let inseparable = self.inseparable();
        let is_joined = |effect: usize| {
            let home = homes.of_effect(effect);
            inseparable[effect] || (home < effect && homes.of_effect(effect - 1) == home)
        };
        let Range { mut start, end } = effects;
        let mut transition = transitions.start;
        let mut units = Vec::new();
        while start < end {
            let next = (start + 1..end).find(|&effect| !is_joined(effect));
            let next = next.unwrap_or(end);
            let first = transition;
            while transition < transitions.end && homes.transitions[transition] < next {
                transition += 1;
            }
            units.push(Unit {
                effects: std::mem::replace(&mut start, next)..next,
                transitions: first..transition,
            });
        }
        // The others are of contacts without effects.
        let transitions = &self.transitions()[..transitions.end];
        while transition < transitions.len() {
            let of_contact = contact_of(&transitions[transition]);
            let rest = transitions[transition..].iter();
            let count = rest.take_while(|row| contact_of(row) == of_contact).count();
            units.push(Unit {
                effects: end..end,
                transitions: transition..transition + count,
            });
            transition += count;
        }
        units
    }

    /// The first effect of each contact with transitions.
    fn homes(&self) -> Homes<'_> {
        let contacts = self.transitions().iter().map(contact_of);
        let mut first: HashMap<_, _, RandomState> = contacts.map(|at| (at, NONE)).collect();
        if !first.is_empty() {
            for (number, effect) in self.effects.iter().enumerate().rev() {
                if let Some(home) = first.get_mut(&(&*effect.tenant_id, &*effect.contact_id)) {
                    *home = number;
                }
            }
        }
        let transitions = self.transitions().iter();
        Homes {
            effects: &self.effects,
            transitions: transitions.map(|row| first[&contact_of(row)]).collect(),
            first,
        }
    }
}

struct Homes<'p> {
    effects: &'p [Effect],
    first: HashMap<Contact<'p>, usize, RandomState>,
    /// By transition: the first effect of its contact, or `NONE`.
    transitions: Vec<usize>,
}

impl Homes<'_> {
    /// The first effect of the contact of an effect, if it has transitions; else the effect.
    fn of_effect(&self, number: usize) -> usize {
        if self.first.is_empty() {
            return number;
        }
        let effect = &self.effects[number];
        let home = self.first.get(&(&*effect.tenant_id, &*effect.contact_id));
        home.copied().unwrap_or(number)
    }
}

/// The numbers up to `count`, sorted by a key. Equal ones keep their order.
fn sorted(count: usize, key: impl Fn(usize) -> usize) -> Vec<usize> {
    let mut order: Vec<usize> = (0..count).collect();
    order.sort_by_key(|&number| key(number));
    order
}

/// By old number: the new one.
fn inverse(order: &[usize]) -> Vec<usize> {
    let mut numbers = vec![0; order.len()];
    for (new, &old) in order.iter().enumerate() {
        numbers[old] = new;
    }
    numbers
}

fn reorder<T>(rows: &mut Vec<T>, order: &[usize]) {
    let mut taken: Vec<Option<T>> = std::mem::take(rows).into_iter().map(Some).collect();
    rows.extend(order.iter().filter_map(|&old| taken[old].take()));
}
