//! Events that a paused workflow misses are kept, one event for each enrollment, its first (E19).

use super::evaluate_support::{
    NOW_US, Table, buffer, commit, ended, goal, started, tagged, workflow,
};
use goald_matcher::buffer::BufferWriter;
use goald_matcher::evaluate::{EvaluateOptions, Rules, StoredFacts};
use goald_matcher::ids::derived::event_key;
use goald_matcher::matcher::Matcher;
use goald_matcher::proposal::Proposal;
use serde_json::{Value, json};
use uuid::Uuid;

fn configure(matcher: &mut Matcher, is_active: bool) {
    let goals = vec![goal(1, "tag_added", &json!({"tag_id": "t"}))];
    let mut paused = workflow("w-1", "any", goals);
    paused.is_active = is_active;
    matcher.update_workflows(&[paused]).unwrap();
}

fn paused(fanout: usize) -> Matcher {
    let mut matcher = Matcher::with_fanout(Rules::default(), fanout);
    configure(&mut matcher, false);
    matcher
}

fn evaluate(matcher: &Matcher, events: &[Value], options: EvaluateOptions<'_>) -> Proposal {
    let proposal = matcher.evaluate(&[&buffer(events)], NOW_US, options);
    proposal.unwrap()
}

/// Commits a batch. Returns the (event, enrollment) pairs that it keeps.
fn missed(matcher: &mut Matcher, table: &mut Table, events: &[Value]) -> Vec<(String, String)> {
    let proposal = evaluate(matcher, events, EvaluateOptions::default());
    commit(matcher, table, &proposal);
    matcher.mark_missed(&proposal, &[]);
    assert!(proposal.exits.is_empty() && proposal.achievements.is_empty());
    let pair = |run: &goald_matcher::proposal::MissedRun| {
        let event = &proposal.missed_events[run.number].source.bytes;
        let event: Value = serde_json::from_slice(event).unwrap();
        (
            event["id"].as_str().unwrap().into(),
            run.enrollment_id.to_string(),
        )
    };
    let mut pairs: Vec<_> = proposal.missed_runs.iter().map(pair).collect();
    pairs.sort();
    pairs
}

fn pair(event: &Value, enrollment: &str) -> (String, String) {
    (event["id"].as_str().unwrap().into(), enrollment.into())
}

fn key(event: &Value) -> Uuid {
    event_key(
        event["source"].as_str().unwrap(),
        event["id"].as_str().unwrap(),
    )
}

#[test]
fn the_first_event_of_each_run_is_kept() {
    for fanout in [64, 0] {
        let mut matcher = paused(fanout);
        let mut table = Table::new();
        let (first, second) = (tagged("t", "c-1", 10), tagged("t", "c-1", 20));
        let batch = [
            started("e-1", "c-1", "w-1", 0),
            tagged("other", "c-1", 5),
            first.clone(),
            started("e-2", "c-1", "w-1", 15),
            second.clone(),
        ];
        let kept = missed(&mut matcher, &mut table, &batch);
        assert_eq!(kept, [pair(&first, "e-1"), pair(&second, "e-2")]);
        let third = [tagged("t", "c-1", 30), started("e-3", "c-1", "w-1", 25)];
        assert!(missed(&mut matcher, &mut table, &third).is_empty());
        let fourth = tagged("t", "c-1", 40);
        let kept = missed(&mut matcher, &mut table, std::slice::from_ref(&fourth));
        assert_eq!(kept, [pair(&fourth, "e-3")]);
        assert!(table.values().all(|row| row.status == "active"));
    }
}

#[test]
fn an_event_for_many_runs_is_kept_once() {
    let mut matcher = paused(64);
    let starts: Vec<Value> = (0..200)
        .map(|number| started(&format!("e-{number}"), "c-1", "w-1", 0))
        .collect();
    let mut table = Table::new();
    missed(&mut matcher, &mut table, &starts);
    let event = tagged("t", "c-1", 10);
    let proposal = evaluate(
        &matcher,
        std::slice::from_ref(&event),
        EvaluateOptions::default(),
    );
    assert_eq!(
        (proposal.missed_events.len(), proposal.missed_runs.len()),
        (1, 200)
    );
    assert!(!proposal.changes_nothing());
}

#[test]
fn a_kept_event_is_judged_for_its_run_only() {
    let mut matcher = paused(64);
    let mut table = Table::new();
    let event = tagged("t", "c-1", 10);
    let batch = [
        started("e-1", "c-1", "w-1", 0),
        event.clone(),
        started("e-2", "c-1", "w-1", 5),
    ];
    missed(&mut matcher, &mut table, &batch);
    configure(&mut matcher, true);
    let only = [("acme".to_owned(), "e-1".to_owned(), key(&event))];
    let options = EvaluateOptions {
        only: Some(&only),
        ..EvaluateOptions::default()
    };
    let proposal = evaluate(&matcher, std::slice::from_ref(&event), options);
    commit(&mut matcher, &mut table, &proposal);
    assert_eq!(proposal.exits.len(), 1);
    assert_eq!(
        (table["e-1"].status, table["e-2"].status),
        ("completed_goal", "active")
    );
}

#[test]
fn a_run_that_ended_is_forgotten() {
    let mut matcher = paused(64);
    let mut table = Table::new();
    let first = [
        started("e-1", "c-1", "w-1", 0),
        started("e-2", "c-1", "w-1", 0),
    ];
    missed(&mut matcher, &mut table, &first);
    assert_eq!(
        missed(&mut matcher, &mut table, &[tagged("t", "c-1", 10)]).len(),
        2
    );
    missed(&mut matcher, &mut table, &[ended("e-1", "c-1", "w-1", 20)]);
    // Its record is free, and the next enrollment takes it.
    let next = [started("e-3", "c-1", "w-1", 30)];
    missed(&mut matcher, &mut table, &next);
    let event = tagged("t", "c-1", 40);
    let kept = missed(&mut matcher, &mut table, std::slice::from_ref(&event));
    assert_eq!(kept, [pair(&event, "e-3")]);
}

#[test]
fn a_later_event_is_kept_when_the_first_one_has_expired() {
    let mut matcher = paused(64);
    let mut table = Table::new();
    let mut first = Vec::new();
    for (days, is_kept) in [(0, true), (29, false), (30, true), (31, true)] {
        let event = tagged("t", "c-1", 10 + days);
        let mut writer = BufferWriter::new();
        if days == 0 {
            let start = started("e-1", "c-1", "w-1", 0);
            writer.push(1, 0, start.to_string().as_bytes());
        }
        let received_ms = 1 + u64::try_from(days).unwrap() * 24 * 3600 * 1000;
        writer.push(received_ms, 1, event.to_string().as_bytes());
        let buffer = writer.finish();
        let proposal = matcher
            .evaluate(&[&buffer], NOW_US, EvaluateOptions::default())
            .unwrap();
        commit(&mut matcher, &mut table, &proposal);
        matcher.mark_missed(&proposal, &[]);
        first.push((proposal.missed_runs.len() == 1, is_kept));
    }
    assert!(first.iter().all(|(kept, expected)| kept == expected));
}

#[test]
fn two_contacts_miss_an_event_of_the_same_key_each() {
    let mut matcher = paused(64);
    let first = tagged("t", "c-1", 10);
    let mut second = tagged("t", "c-2", 10);
    second["id"] = first["id"].clone();
    let batch = [
        started("e-1", "c-1", "w-1", 0),
        started("e-2", "c-2", "w-1", 0),
        first,
        second,
    ];
    let proposal = evaluate(&matcher, &batch, EvaluateOptions::default());
    let kept: Vec<(&str, &str)> = proposal
        .missed_runs
        .iter()
        .map(|run| {
            let event = &proposal.missed_events[run.number];
            (&*event.contact_id, &*run.enrollment_id)
        })
        .collect();
    assert_eq!(kept, [("c-1", "e-1"), ("c-2", "e-2")]);
    commit(&mut matcher, &mut Table::new(), &proposal);
}

#[test]
fn an_activation_ends_what_is_kept() {
    let mut matcher = paused(64);
    let mut table = Table::new();
    let start = [started("e-1", "c-1", "w-1", 0), tagged("t", "c-1", 10)];
    assert_eq!(missed(&mut matcher, &mut table, &start).len(), 1);
    assert!(missed(&mut matcher, &mut table, &[tagged("t", "c-1", 15)]).is_empty());
    configure(&mut matcher, true);
    configure(&mut matcher, false);
    let event = tagged("t", "c-1", 20);
    let kept = missed(&mut matcher, &mut table, std::slice::from_ref(&event));
    assert_eq!(kept, [pair(&event, "e-1")]);
}

#[test]
fn two_kept_events_are_judged_each_for_its_run() {
    let mut matcher = paused(64);
    let mut table = Table::new();
    // The second run is enrolled before the first event, but its start arrives later.
    let (first, second) = (tagged("t", "c-1", 10), tagged("t", "c-1", 20));
    let batch = [
        started("e-1", "c-1", "w-1", 0),
        first.clone(),
        started("e-2", "c-1", "w-1", 5),
        second.clone(),
    ];
    missed(&mut matcher, &mut table, &batch);
    configure(&mut matcher, true);
    let only = [
        ("acme".to_owned(), "e-1".to_owned(), key(&first)),
        ("acme".to_owned(), "e-2".to_owned(), key(&second)),
    ];
    let options = EvaluateOptions {
        only: Some(&only),
        ..EvaluateOptions::default()
    };
    let proposal = evaluate(&matcher, &[first, second], options);
    let at: Vec<i64> = proposal
        .achievements
        .iter()
        .map(|row| row.achieved_at)
        .collect();
    commit(&mut matcher, &mut table, &proposal);
    assert_eq!(proposal.exits.len(), 2);
    assert_eq!(at[1] - at[0], 10_000_000);
    assert!(table.values().all(|row| row.status == "completed_goal"));
}

#[test]
fn only_tags_that_were_new_count_later() {
    let mut matcher = paused(64);
    let mut table = Table::new();
    let mut listed = tagged("t", "c-1", 10);
    listed["data"] = json!({
        "contact_id": "c-1", "tags": [{"tag_id": "u"}, {"tag_id": "t"}],
    });
    missed(&mut matcher, &mut table, &[started("e-1", "c-1", "w-1", 0)]);
    let event = std::slice::from_ref(&listed);
    let had = |at: u32| [("acme".to_owned(), key(&listed), vec![at])];
    let first = evaluate(&matcher, event, EvaluateOptions::default());
    assert_eq!((first.tag_checks.len(), first.missed_events.len()), (1, 1));
    for (at, kept) in [(1, 0), (0, 1)] {
        let old_tags = had(at);
        let options = EvaluateOptions {
            old_tags: &old_tags,
            ..EvaluateOptions::default()
        };
        let proposal = evaluate(&matcher, event, options);
        assert_eq!(proposal.missed_events.len(), kept);
        if kept == 1 {
            assert_eq!(*proposal.missed_events[0].old_tags, [0]);
        }
    }
}

#[test]
fn a_kept_event_describes_its_contact_once() {
    let mut matcher = paused(64);
    let mut listed = tagged("t", "c-1", 10);
    listed["data"] = json!({"contact_id": "c-1", "tags": [{"tag_id": "t"}]});
    let events = [started("e-1", "c-1", "w-1", 0), listed.clone()];
    let proposal = evaluate(&matcher, &events, EvaluateOptions::default());
    assert_eq!(proposal.contact_events.len(), 1);
    commit(&mut matcher, &mut Table::new(), &proposal);
    configure(&mut matcher, true);
    let only = [("acme".to_owned(), "e-1".to_owned(), key(&listed))];
    let options = EvaluateOptions {
        only: Some(&only),
        ..EvaluateOptions::default()
    };
    let proposal = evaluate(&matcher, std::slice::from_ref(&listed), options);
    assert_eq!(
        (proposal.exits.len(), proposal.contact_events.len()),
        (1, 0)
    );
}

#[test]
fn a_kept_event_is_not_asked_about_again() {
    let mut matcher = paused(64);
    let mut table = Table::new();
    let start = [started("e-1", "c-1", "w-1", 0), tagged("t", "c-1", 10)];
    assert_eq!(missed(&mut matcher, &mut table, &start).len(), 1);
    let proposal = evaluate(
        &matcher,
        &[tagged("t", "c-1", 20)],
        EvaluateOptions::default(),
    );
    assert!(proposal.changes_nothing() && proposal.event_checks.is_empty());
}

#[test]
fn a_paused_workflow_does_not_check_contacts_on_enrollment() {
    let mut matcher = Matcher::default();
    let mut checked = goal(1, "tag_added", &json!({"tag_id": "t"}));
    checked.check_on_enrollment = true;
    let mut checking = workflow("w-1", "any", vec![checked]);
    for (is_active, asks) in [(true, 1), (false, 0)] {
        checking.is_active = is_active;
        matcher
            .update_workflows(std::slice::from_ref(&checking))
            .unwrap();
        let proposal = evaluate(
            &matcher,
            &[started("e-1", "c-1", "w-1", 0)],
            EvaluateOptions::default(),
        );
        assert_eq!(proposal.state_checks.len(), asks);
    }
}

#[test]
fn a_workflow_that_was_never_active_misses_nothing() {
    let mut matcher = Matcher::default();
    let mut never_active = goal(1, "tag_added", &json!({"tag_id": "t"}));
    never_active.effective_from = None;
    let mut draft = workflow("w-1", "any", vec![never_active]);
    draft.is_active = false;
    matcher.update_workflows(&[draft]).unwrap();
    let events = [started("e-1", "c-1", "w-1", 0), tagged("t", "c-1", 10)];
    assert!(missed(&mut matcher, &mut Table::new(), &events).is_empty());
}

#[test]
fn an_event_that_started_a_run_is_not_missed_by_it() {
    let mut matcher = paused(64);
    let event = tagged("t", "c-1", 10);
    let mut start = started("e-1", "c-1", "w-1", 5);
    start["data"]["started_by"] = json!({"source": event["source"], "id": event["id"]});
    let events = [start, event];
    assert!(missed(&mut matcher, &mut Table::new(), &events).is_empty());
}

#[test]
fn the_explanation_of_a_paused_workflow_says_that_nothing_counts() {
    let mut matcher = paused(64);
    missed(
        &mut matcher,
        &mut Table::new(),
        &[started("e-1", "c-1", "w-1", 0)],
    );
    let event = tagged("t", "c-1", 10).to_string();
    let explained = matcher.explain(event.as_bytes(), NOW_US, StoredFacts::default());
    let explained: Value = serde_json::from_str(&explained.unwrap()).unwrap();
    let run = &explained["enrollments"][0];
    assert_eq!(
        (&run["matched"], &run["completes"], &run["reason"]),
        (&json!(false), &json!(false), &json!("workflow inactive"))
    );
    assert_eq!(run["goals"][0]["achieved"], false);
}
