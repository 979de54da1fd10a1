//! A proposal in slices ends where the whole ends, and no slice weighs more than it may.

mod evaluate_support;

use evaluate_support::{NOW_US, buffer, event, goal, started, tagged, workflow};
use goald_matcher::buffer::{self, BufferReader};
use goald_matcher::engine::{ApplyError, Engine};
use goald_matcher::proposal::Proposal;
use goald_matcher::slice::Slice;
use serde_json::{Value, json};

fn engine() -> Engine {
    let mut engine = Engine::new(0);
    let goals = || vec![goal(1, "tag_added", &json!({"tag_id": "t-1"}))];
    let workflows = [workflow("w-any", "any", goals())];
    engine.update_workflows(&workflows).unwrap();
    engine
}

fn evaluate(engine: &Engine, events: &[Value]) -> Proposal {
    engine.evaluate(&[&buffer(events)], NOW_US).unwrap()
}

/// An engine in which one contact is enrolled so many times.
fn enrolled(times: usize) -> Engine {
    let mut engine = engine();
    let events: Vec<Value> = (0..times)
        .map(|number| started(&format!("e-{number}"), "c-1", "w-any", 0))
        .collect();
    let proposal = evaluate(&engine, &events);
    engine.apply(&proposal, &vec![1; times]).unwrap();
    engine
}

fn marks(slice: &Slice) -> Vec<u8> {
    vec![1; slice.effects.len()]
}

fn assert_covers(proposal: &Proposal, slices: &[Slice]) {
    let mut effects: Vec<usize> = Vec::new();
    let mut achievements: Vec<usize> = Vec::new();
    let mut exits: Vec<usize> = Vec::new();
    for (number, slice) in slices.iter().enumerate() {
        assert_eq!(slice.is_last, number + 1 == slices.len());
        for &row in &slice.achievements {
            assert!(slice.effects.contains(&proposal.achievements[row].effect));
        }
        for &row in &slice.exits {
            assert!(slice.effects.contains(&proposal.exits[row].effect));
        }
        effects.extend(slice.effects.clone());
        achievements.extend(&slice.achievements);
        exits.extend(&slice.exits);
    }
    let all = |count: usize| (0..count).collect::<Vec<_>>();
    achievements.sort_unstable();
    exits.sort_unstable();
    assert_eq!(effects, all(proposal.effects.len()));
    assert_eq!(achievements, all(proposal.achievements.len()));
    assert_eq!(exits, all(proposal.exits.len()));
}

#[test]
fn slices_hold_each_row_once_and_are_applied_one_after_another() {
    let mut engine = enrolled(100);
    let proposal = evaluate(&engine, &[tagged("t-1", "c-1", 5)]);
    let slices = proposal.slices(7, usize::MAX);
    assert_eq!(slices.len(), 15);
    assert_covers(&proposal, &slices);
    for slice in &slices {
        let effects = slice.effects.clone();
        engine
            .apply_slice(&proposal, effects, &marks(slice))
            .unwrap();
    }
    assert_eq!(engine.stats().enrollments, 0);
}

#[test]
fn payloads_of_one_event_that_meets_many_bound_a_slice() {
    let engine = enrolled(100);
    let mut large = tagged("t-1", "c-1", 5);
    large["data"]["note"] = json!("x".repeat(1_000));
    let proposal = evaluate(&engine, &[large]);
    let slices = proposal.slices(usize::MAX, 50_000);
    assert_covers(&proposal, &slices);
    for slice in &slices {
        let payloads: usize = slice
            .achievements
            .iter()
            .map(|&row| 2 * proposal.achievements[row].trigger_event.len())
            .sum();
        assert!(payloads <= 50_000);
        assert!(slice.effects.len() > 5);
    }
}

#[test]
fn effect_heavier_than_a_slice_is_one_by_itself() {
    let engine = enrolled(3);
    let proposal = evaluate(&engine, &[tagged("t-1", "c-1", 5)]);
    let slices = proposal.slices(usize::MAX, 1);
    assert_eq!(slices.len(), 3);
    assert_covers(&proposal, &slices);
}

#[test]
fn proposal_of_nothing_is_one_slice() {
    let proposal = evaluate(&engine(), &[tagged("t-1", "c-1", 5)]);
    assert_eq!(proposal.slices(1, 1), [proposal.whole()]);
    assert_eq!(proposal.halves(&proposal.whole()), None);
}

#[test]
fn slice_that_is_not_the_next_or_whose_memory_changed_is_stale() {
    let mut engine = enrolled(4);
    let proposal = evaluate(&engine, &[tagged("t-1", "c-1", 5)]);
    let other = evaluate(&engine, &[tagged("t-1", "c-1", 6)]);
    assert_eq!(
        engine.apply_slice(&proposal, 2..4, &[1, 1]),
        Err(ApplyError::Stale)
    );
    engine.apply_slice(&proposal, 0..2, &[0, 1]).unwrap();
    assert_eq!(
        engine.apply_slice(&proposal, 0..2, &[1, 1]),
        Err(ApplyError::Stale)
    );
    assert_eq!(
        engine.apply_slice(&other, 2..4, &[1, 1]),
        Err(ApplyError::Stale)
    );
    engine.forget([("acme", "c-1")]);
    assert_eq!(
        engine.apply_slice(&proposal, 2..4, &[1, 1]),
        Err(ApplyError::Stale)
    );
}

#[test]
fn halves_come_down_to_single_effects_and_what_hangs_on_none() {
    let mut engine = enrolled(5);
    let events = [
        tagged("t-1", "c-1", 5),
        event("contact.deleted", "c-1", 9, json!({})),
    ];
    let proposal = evaluate(&engine, &events);
    let mut waiting = vec![proposal.whole()];
    let mut single = Vec::new();
    while let Some(slice) = waiting.pop() {
        match proposal.halves(&slice) {
            Some((first, second)) => waiting.extend([second, first]),
            None => single.push(slice),
        }
    }
    assert_eq!(single.len(), 6);
    assert_covers(&proposal, &single);
    assert!(single[5].effects.is_empty());
    for slice in &single {
        engine
            .apply_slice(&proposal, slice.effects.clone(), &marks(slice))
            .unwrap();
    }
}

#[test]
fn halves_of_a_buffer_hold_its_entries_in_order() {
    let events: Vec<Value> = (0..5).map(|second| tagged("t-1", "c-1", second)).collect();
    let whole = buffer(&events);
    let (first, second) = buffer::halves(&whole).unwrap().unwrap();
    let entries = |bytes| {
        BufferReader::new(bytes)
            .unwrap()
            .map(|entry| (entry.seq, entry.event.to_vec()))
            .collect::<Vec<_>>()
    };
    assert_eq!((entries(&first).len(), entries(&second).len()), (2, 3));
    assert_eq!(
        [entries(&first), entries(&second)].concat(),
        entries(&whole)
    );
    let single = buffer(&events[..1]);
    assert_eq!(buffer::halves(&single).unwrap(), None);
    assert!(buffer::halves(&whole[..whole.len() - 1]).is_err());
}
