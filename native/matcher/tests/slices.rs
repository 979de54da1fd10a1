//! Together, the slices of a proposal contain all its rows, and each is within the size limits.

mod evaluate_support;

use std::ops::Range;

use evaluate_support::{NOW_US, buffer, event, goal, started, tagged, workflow};
use goald_matcher::buffer::{self, BufferReader};
use goald_matcher::evaluate::EvaluateOptions;
use goald_matcher::matcher::{ApplyError, Matcher};
use goald_matcher::proposal::Proposal;
use goald_matcher::proposal::Slice;
use serde_json::{Value, json};

fn matcher() -> Matcher {
    let mut matcher = Matcher::default();
    let goals = || vec![goal(1, "tag_added", &json!({"tag_id": "t-1"}))];
    let workflows = [workflow("w-any", "any", goals())];
    matcher.update_workflows(&workflows).unwrap();
    matcher
}

/// Applies a run of effects of a proposal without executions.
fn apply(
    matcher: &mut Matcher,
    proposal: &Proposal,
    effects: Range<usize>,
    marks: &[u8],
) -> Result<(), ApplyError> {
    let slice = Slice {
        effects,
        ..proposal.whole()
    };
    matcher.apply_slice(proposal, &slice, marks, &[])
}

fn evaluate(matcher: &Matcher, events: &[Value]) -> Proposal {
    matcher
        .evaluate(&[&buffer(events)], NOW_US, EvaluateOptions::default())
        .unwrap()
}

/// A matcher in which one contact has `times` enrollments.
fn enrolled(times: usize) -> Matcher {
    let mut matcher = matcher();
    let events: Vec<Value> = (0..times)
        .map(|number| started(&format!("e-{number}"), "c-1", "w-any", 0))
        .collect();
    let proposal = evaluate(&matcher, &events);
    matcher.apply(&proposal, &vec![1; times]).unwrap();
    matcher
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
fn slices_have_each_row_once_and_are_applied_in_order() {
    let mut matcher = enrolled(100);
    let proposal = evaluate(&matcher, &[tagged("t-1", "c-1", 5)]);
    let slices = proposal.slices(7, usize::MAX);
    assert_eq!(slices.len(), 15);
    assert_covers(&proposal, &slices);
    for slice in &slices {
        let effects = slice.effects.clone();
        apply(&mut matcher, &proposal, effects, &marks(slice)).unwrap();
    }
    assert_eq!(matcher.stats().enrollments, 0);
}

#[test]
fn the_payloads_of_a_slice_are_bounded() {
    let matcher = enrolled(100);
    let mut large = tagged("t-1", "c-1", 5);
    large["data"]["note"] = json!("x".repeat(1_000));
    let proposal = evaluate(&matcher, &[large]);
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
fn an_effect_larger_than_the_limit_is_a_slice_by_itself() {
    let matcher = enrolled(3);
    let proposal = evaluate(&matcher, &[tagged("t-1", "c-1", 5)]);
    let slices = proposal.slices(usize::MAX, 1);
    assert_eq!(slices.len(), 3);
    assert_covers(&proposal, &slices);
}

#[test]
fn an_empty_proposal_is_one_slice() {
    let proposal = evaluate(&matcher(), &[tagged("t-1", "c-1", 5)]);
    assert_eq!(proposal.slices(1, 1), [proposal.whole()]);
    assert_eq!(proposal.halves(&proposal.whole()), None);
}

#[test]
fn a_slice_out_of_order_or_after_another_change_is_stale() {
    let mut matcher = enrolled(4);
    let proposal = evaluate(&matcher, &[tagged("t-1", "c-1", 5)]);
    let other = evaluate(&matcher, &[tagged("t-1", "c-1", 6)]);
    assert_eq!(
        apply(&mut matcher, &proposal, 2..4, &[1, 1]),
        Err(ApplyError::Stale)
    );
    apply(&mut matcher, &proposal, 0..2, &[0, 1]).unwrap();
    assert_eq!(
        apply(&mut matcher, &proposal, 0..2, &[1, 1]),
        Err(ApplyError::Stale)
    );
    assert_eq!(
        apply(&mut matcher, &other, 2..4, &[1, 1]),
        Err(ApplyError::Stale)
    );
    matcher.evict([("acme", "c-1")]);
    assert_eq!(
        apply(&mut matcher, &proposal, 2..4, &[1, 1]),
        Err(ApplyError::Stale)
    );
}

#[test]
fn halving_ends_with_single_effects_and_the_unattached_rows() {
    let mut matcher = enrolled(5);
    let events = [
        tagged("t-1", "c-1", 5),
        event("contact.deleted", "c-1", 9, json!({})),
    ];
    let proposal = evaluate(&matcher, &events);
    let mut queue = vec![proposal.whole()];
    let mut single = Vec::new();
    while let Some(slice) = queue.pop() {
        match proposal.halves(&slice) {
            Some((first, second)) => queue.extend([second, first]),
            None => single.push(slice),
        }
    }
    assert_eq!(single.len(), 6);
    assert_covers(&proposal, &single);
    assert!(single[5].effects.is_empty());
    for slice in &single {
        let effects = slice.effects.clone();
        apply(&mut matcher, &proposal, effects, &marks(slice)).unwrap();
    }
}

/// Two runs that begin before an event that counts for both, among others.
fn two_runs_of_one_event() -> Proposal {
    let mut events = vec![started("e-1", "c-1", "w-any", 0)];
    events.extend((0..4).map(|number| started(&format!("o-{number}"), "c-2", "w-any", 0)));
    events.push(started("e-2", "c-1", "w-any", 0));
    events.push(started("e-3", "c-3", "w-any", 0));
    events.push(tagged("t-1", "c-1", 5));
    evaluate(&matcher(), &events)
}

#[test]
fn a_run_is_in_one_slice_with_the_use_of_an_event_that_follows_its_start() {
    let proposal = two_runs_of_one_event();
    let slices = proposal.slices(1, 1);
    assert_covers(&proposal, &slices);
    let effects: Vec<_> = slices.iter().map(|slice| slice.effects.clone()).collect();
    assert_eq!(effects, [0..6, 6..7]);
}

#[test]
fn runs_without_a_start_in_the_batch_are_separated() {
    let proposal = evaluate(&enrolled(4), &[tagged("t-1", "c-1", 5)]);
    assert_eq!(proposal.used_events.len(), 4);
    assert_eq!(proposal.slices(1, usize::MAX).len(), 4);
}

#[test]
fn halving_separates_runs_of_one_event_last() {
    let proposal = two_runs_of_one_event();
    let (first, second) = proposal.halves(&proposal.whole()).unwrap();
    assert_eq!((first.effects.clone(), second.effects), (0..6, 6..7));
    let (first, second) = proposal.halves(&first).unwrap();
    assert_eq!((first.effects, second.effects), (0..3, 3..6));
}

#[test]
fn the_halves_of_a_buffer_have_its_entries_in_order() {
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
