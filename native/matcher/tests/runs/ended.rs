//! Events that count for runs that have ended (E18).

use super::evaluate_support::{
    NOW_US, SECOND_US, START_US, Table, commit, ended, event, goal, started, tagged, workflow,
};
use goald_matcher::buffer::BufferWriter;
use goald_matcher::config::{WorkflowSpec, goal_id};
use goald_matcher::evaluate::{EndedAnswer, EvaluateOptions, Rules, WatchedRun};
use goald_matcher::ids::derived::event_key;
use goald_matcher::matcher::{Matcher, MissingEnds};
use goald_matcher::proposal::{Proposal, Status};
use serde_json::{Value, json};

const LATE_S: i64 = 60;

fn matcher_of(workflows: &[WorkflowSpec]) -> Matcher {
    let mut matcher = Matcher::new(Rules {
        late_us: LATE_S * SECOND_US,
        ..Rules::default()
    });
    matcher.update_workflows(workflows).unwrap();
    matcher
}

fn matcher() -> Matcher {
    matcher_of(&[one_goal("w-1")])
}

fn one_goal(id: &str) -> WorkflowSpec {
    workflow(
        id,
        "any",
        vec![goal(1, "tag_added", &json!({"tag_id": "t"}))],
    )
}

/// Events that arrive at this second.
fn evaluate(matcher: &Matcher, second: i64, events: &[Value], ended: &[EndedAnswer]) -> Proposal {
    let options = EvaluateOptions {
        ended,
        ..EvaluateOptions::default()
    };
    evaluate_with(matcher, second, events, options)
}

fn evaluate_with(
    matcher: &Matcher,
    second: i64,
    events: &[Value],
    options: EvaluateOptions<'_>,
) -> Proposal {
    let mut writer = BufferWriter::new();
    let ms = (START_US / 1_000 + second * 1_000) as u64;
    for (number, event) in events.iter().enumerate() {
        writer.push(ms, number as u64, event.to_string().as_bytes());
    }
    let buffer = writer.finish();
    matcher.evaluate(&[&buffer], NOW_US, options).unwrap()
}

fn run(enrollment: &str, enrolled: i64, ended: i64) -> WatchedRun {
    WatchedRun {
        enrollment_id: enrollment.into(),
        status: Status::Exited,
        enrolled_at: START_US + enrolled * SECOND_US,
        ended_at: START_US + ended * SECOND_US,
        began_at: START_US + enrolled * SECOND_US,
        met: Vec::new(),
        match_values: None,
        started_by: None,
        merges: Vec::new(),
    }
}

/// The answer of Postgres about these events.
fn answer(workflow: &str, events: &[&Value], counted: bool, runs: Vec<WatchedRun>) -> EndedAnswer {
    let key = |event: &&Value| {
        let text = |name: &str| event[name].as_str().unwrap().to_owned();
        (event_key(&text("source"), &text("id")), counted)
    };
    EndedAnswer {
        tenant_id: "acme".into(),
        contact_id: "c-1".into(),
        workflow_id: workflow.into(),
        events: events.iter().map(key).collect(),
        runs,
    }
}

/// The enrollments that meet goals after their ends, with the second at which all are met.
fn met(proposal: &Proposal) -> Vec<(&str, Option<i64>)> {
    assert!(proposal.exits.is_empty());
    let effects = proposal.effects.iter().filter(|effect| effect.after_end);
    effects
        .map(|effect| {
            let at = effect.ended_at.map(|at| (at - START_US) / SECOND_US);
            (&*effect.enrollment_id, at)
        })
        .collect()
}

#[test]
fn an_event_that_arrives_after_the_end_meets_a_goal_without_an_exit() {
    let late = tagged("t", "c-1", 10);
    let runs = vec![run("e-1", 0, 20)];
    let answers = [answer("w-1", &[&late], false, runs)];
    let proposal = evaluate(&matcher(), 30, std::slice::from_ref(&late), &[]);
    assert_eq!(proposal.ended_checks.len(), 1);
    assert_eq!(met(&proposal), []);
    let proposal = evaluate(&matcher(), 30, &[late], &answers);
    assert!(proposal.ended_checks.is_empty());
    assert_eq!(met(&proposal), [("e-1", Some(10))]);
    assert_eq!(proposal.effects[0].status, Status::Exited);
    assert_eq!(
        (proposal.achievements.len(), proposal.used_events.len()),
        (1, 1)
    );
}

#[test]
fn only_an_event_that_meets_criteria_and_has_not_counted_matters() {
    let (late, other) = (tagged("t", "c-1", 10), tagged("other", "c-1", 10));
    let proposal = evaluate(&matcher(), 30, &[other], &[]);
    assert!(proposal.ended_checks.is_empty() && proposal.effects.is_empty());
    let counted = [answer("w-1", &[&late], true, vec![run("e-1", 0, 20)])];
    assert_eq!(met(&evaluate(&matcher(), 30, &[late], &counted)), []);
}

#[test]
fn an_answered_question_takes_as_much_of_the_share_as_an_open_one() {
    let events: Vec<Value> = (0..20)
        .map(|n| tagged("t", &format!("c-{n}"), 10))
        .collect();
    let answers: Vec<EndedAnswer> = (0..20)
        .map(|n| EndedAnswer {
            contact_id: format!("c-{n}"),
            ..answer("w-1", &[&events[n]], n % 2 == 0, Vec::new())
        })
        .collect();
    let evaluated = |ended: &[EndedAnswer]| {
        let shares = Some((5_000, 5_000));
        let options = EvaluateOptions {
            shares,
            ended,
            ..EvaluateOptions::default()
        };
        evaluate_with(&matcher(), 30, &events, options).events
    };
    assert_eq!((evaluated(&[]), evaluated(&answers)), (5, 5));
}

#[test]
fn further_workflows_in_which_an_event_may_count_take_a_part_of_the_share() {
    let events: Vec<Value> = (0..20)
        .map(|n| tagged("t", &format!("c-{n}"), 10))
        .collect();
    let evaluated = |workflows: usize| {
        let configured: Vec<_> = (0..workflows)
            .map(|n| one_goal(&format!("w-{n}")))
            .collect();
        let options = EvaluateOptions {
            shares: Some((9_500, 9_500)),
            ..EvaluateOptions::default()
        };
        let proposal = evaluate_with(&matcher_of(&configured), 30, &events, options);
        assert_eq!(proposal.ended_checks.len(), proposal.events * workflows);
        proposal.events
    };
    assert_eq!((evaluated(1), evaluated(11)), (10, 5));
}

#[test]
fn events_that_would_ask_wait_if_no_more_is_asked() {
    let events: Vec<Value> = (0..3).map(|n| tagged("t", &format!("c-{n}"), 10)).collect();
    let answers = [answer("w-1", &[&events[1]], false, Vec::new())];
    let options = EvaluateOptions {
        ended: &answers,
        defers_ended: true,
        ..EvaluateOptions::default()
    };
    let proposal = evaluate_with(&matcher(), 30, &events, options);
    // The first event asks: every call makes progress.
    let asked: Vec<_> = proposal
        .ended_checks
        .iter()
        .map(|row| &*row.contact_id)
        .collect();
    assert_eq!((asked, proposal.events), (vec!["c-0"], 2));
    assert_eq!(proposal.deferred.len(), 1);
}

#[test]
fn a_question_names_since_when_goals_watch() {
    let mut config = one_goal("w-1");
    config
        .goals
        .push(goal(2, "tag_added", &json!({"tag_id": "t"})));
    config.goals[1].conversion_window = Some(100 * SECOND_US);
    let proposal = evaluate(&matcher_of(&[config]), 30, &[tagged("t", "c-1", 10)], &[]);
    let [check] = &proposal.ended_checks[..] else {
        panic!("one question");
    };
    let at = |second: i64| START_US + second * SECOND_US;
    assert_eq!(check.time, at(10));
    assert_eq!(
        (check.first.began, check.first.ended),
        (at(-70), at(30 - LATE_S))
    );
    assert!(!check.counts);
}

#[test]
fn a_run_is_watched_until_some_time_after_its_end() {
    let met_at = |happened: i64, arrives: i64| {
        let late = tagged("t", "c-1", happened);
        let answers = [answer("w-1", &[&late], false, vec![run("e-1", 0, 20)])];
        !met(&evaluate(&matcher(), arrives, &[late], &answers)).is_empty()
    };
    assert!(met_at(10, 20 + LATE_S));
    assert!(!met_at(10, 20 + LATE_S + 1));
    // It may also happen after the end, but not after the time of watching.
    assert!(met_at(20 + LATE_S, 30));
    assert!(!met_at(20 + LATE_S + 1, 30));
    // And not before the enrollment (E3).
    let early = tagged("t", "c-1", 10);
    let answers = [answer("w-1", &[&early], false, vec![run("e-1", 11, 20)])];
    assert_eq!(met(&evaluate(&matcher(), 30, &[early], &answers)), []);
}

#[test]
fn a_window_counts_from_the_enrollment() {
    let mut windowed = one_goal("w-1");
    windowed.goals[0].conversion_window = Some(100 * SECOND_US);
    let matcher = matcher_of(&[windowed]);
    let met_at = |arrives: i64| {
        let late = tagged("t", "c-1", 50);
        let answers = [answer("w-1", &[&late], false, vec![run("e-1", 5, 20)])];
        !met(&evaluate(&matcher, arrives, &[late], &answers)).is_empty()
    };
    assert!(met_at(105) && !met_at(106));
}

#[test]
fn the_latest_run_that_can_count_it_gets_the_event() {
    let late = tagged("t", "c-1", 10);
    let runs = vec![run("e-1", 0, 15), run("e-2", 5, 16), run("e-3", 11, 30)];
    let answers = [answer("w-1", &[&late], false, runs)];
    let proposal = evaluate(&matcher(), 40, &[late], &answers);
    assert_eq!(met(&proposal), [("e-2", Some(10))]);
}

/// The index of the only buffer, with merges that moved its contact after these seconds.
fn merges(seconds: &[i64]) -> [(usize, Vec<i64>); 1] {
    let at = |second: &i64| START_US + second * SECOND_US;
    [(0, seconds.iter().map(at).collect())]
}

#[test]
fn an_event_counts_for_the_runs_that_its_contact_had_when_it_was_received() {
    let late = tagged("t", "c-1", 10);
    let met_if_moved = |run_moved: &[i64], event_moved: &[i64]| {
        let [(_, of_run)] = merges(run_moved);
        let moved = WatchedRun {
            merges: of_run,
            ..run("e-1", 0, 20)
        };
        let answers = [answer("w-1", &[&late], false, vec![moved])];
        let of_event = merges(event_moved);
        let options = EvaluateOptions {
            ended: &answers,
            merges: if event_moved.is_empty() {
                &[]
            } else {
                &of_event
            },
            ..EvaluateOptions::default()
        };
        let events = std::slice::from_ref(&late);
        !met(&evaluate_with(&matcher(), 30, events, options)).is_empty()
    };
    // Both had one contact when the event was received, and moved together.
    assert!(met_if_moved(&[], &[]) && met_if_moved(&[40], &[40]));
    // The event was of the contact that continues, and was received before or after the merge.
    assert!(!met_if_moved(&[40], &[]));
    assert!(met_if_moved(&[25], &[]));
    // The run was of the contact that continues, or came with another merge.
    assert!(!met_if_moved(&[], &[40]));
    assert!(!met_if_moved(&[50], &[40]));
}

#[test]
fn a_moved_event_counts_for_no_run_of_another_contact_that_the_batch_ends() {
    let mut matcher = matcher();
    let mut table = Table::new();
    let start = [started("e-1", "c-1", "w-1", 0)];
    let proposal = evaluate(&matcher, 1, &start, &[]);
    commit(&mut matcher, &mut table, &proposal);
    let events = [ended("e-1", "c-1", "w-1", 20), tagged("t", "c-1", 10)];
    let moved = merges(&[40]);
    let met_with = |merges: &[(usize, Vec<i64>)]| {
        let options = EvaluateOptions {
            merges,
            ..EvaluateOptions::default()
        };
        let proposal = evaluate_with(&matcher, 30, &events, options);
        met(&proposal).len()
    };
    assert_eq!((met_with(&[]), met_with(&moved)), (1, 0));
}

#[test]
fn active_runs_come_first() {
    let mut matcher = matcher_of(&[one_goal("w-1"), one_goal("w-2")]);
    let mut table = Table::new();
    let start = [started("e-2", "c-1", "w-1", 5)];
    let proposal = evaluate(&matcher, 6, &start, &[]);
    commit(&mut matcher, &mut table, &proposal);
    let late = tagged("t", "c-1", 10);
    let answers = [
        answer("w-1", &[&late], false, vec![run("e-1", 0, 9)]),
        answer("w-2", &[&late], false, vec![run("e-3", 0, 9)]),
    ];
    let proposal = evaluate(&matcher, 30, &[late], &answers);
    assert_eq!(proposal.exits.len(), 1);
    let of: Vec<_> = proposal
        .effects
        .iter()
        .map(|effect| &*effect.enrollment_id)
        .collect();
    assert_eq!(of, ["e-2", "e-3"]);
}

#[test]
fn a_run_that_the_batch_ends_is_watched_for_later_events_of_the_batch() {
    for start_before in [false, true] {
        let mut matcher = matcher();
        let mut table = Table::new();
        let mut batch = vec![
            started("e-1", "c-1", "w-1", 0),
            ended("e-1", "c-1", "w-1", 20),
            tagged("t", "c-1", 10),
        ];
        if start_before {
            let proposal = evaluate(&matcher, 1, &batch[..1], &[]);
            commit(&mut matcher, &mut table, &proposal);
            batch.remove(0);
        }
        let answers = [answer("w-1", &[&tagged("t", "c-1", 10)], false, Vec::new())];
        let proposal = evaluate(&matcher, 30, &batch, &answers);
        assert!(proposal.deferred.is_empty());
        assert_eq!(met(&proposal), [("e-1", Some(10))]);
        let counted = [answer("w-1", &[&tagged("t", "c-1", 10)], true, Vec::new())];
        assert_eq!(met(&evaluate(&matcher, 30, &batch, &counted)), []);
        // A start that may be a repeat could be of another run.
        assert_eq!(proposal.doubtful_starts.len(), usize::from(!start_before));
    }
}

#[test]
fn with_all_each_goal_is_met_once_and_the_last_one_completes() {
    let goals = ["a", "b"].iter().zip(1..);
    let goals = goals.map(|(tag, n)| goal(n, "tag_added", &json!({"tag_id": tag})));
    let matcher = matcher_of(&[workflow("w-1", "all", goals.collect())]);
    let events = [
        tagged("a", "c-1", 10),
        tagged("a", "c-1", 11),
        tagged("b", "c-1", 12),
    ];
    let asked: Vec<&Value> = events.iter().collect();
    let answers = [answer("w-1", &asked, false, vec![run("e-1", 0, 20)])];
    let proposal = evaluate(&matcher, 30, &events[..2], &answers);
    assert_eq!(met(&proposal), [("e-1", None)]);
    assert_eq!(proposal.achievements.len(), 1);
    let proposal = evaluate(&matcher, 30, &events, &answers);
    assert_eq!(met(&proposal), [("e-1", Some(12))]);
    assert_eq!(proposal.achievements.len(), 2);
}

#[test]
fn with_all_a_goal_that_was_met_before_completes_if_no_other_is_left() {
    let mut config = one_goal("w-1");
    config.goal_logic = "all".into();
    let id = goal_id(&config.goals[0].id).unwrap();
    let matcher = matcher_of(&[config]);
    let late = tagged("t", "c-1", 10);
    let ended = WatchedRun {
        met: vec![id],
        ..run("e-1", 0, 20)
    };
    let answers = [answer("w-1", &[&late], false, vec![ended])];
    let proposal = evaluate(&matcher, 30, &[late], &answers);
    assert_eq!(met(&proposal), [("e-1", Some(10))]);
    assert_eq!(
        (proposal.achievements.len(), proposal.used_events.len()),
        (0, 1)
    );
}

#[test]
fn a_deletion_in_the_batch_ends_the_watch() {
    let late = tagged("t", "c-1", 10);
    let answers = [answer("w-1", &[&late], false, vec![run("e-1", 0, 20)])];
    let deleted = event("contact.deleted", "c-1", 25, json!({}));
    let proposal = evaluate(&matcher(), 30, &[deleted, late], &answers);
    assert_eq!(met(&proposal), []);
}

#[test]
fn goals_of_paused_workflows_are_not_met_after_the_end() {
    let mut paused = one_goal("w-1");
    paused.is_active = false;
    let proposal = evaluate(&matcher_of(&[paused]), 30, &[tagged("t", "c-1", 10)], &[]);
    assert!(proposal.ended_checks.is_empty());
}

/// The ends that the matcher must load of its only tenant.
fn missing(matcher: &mut Matcher, now: i64) -> Option<MissingEnds> {
    let (tenant, missing) = matcher.ended_to_load(now)?;
    assert_eq!(tenant, "acme");
    Some(missing)
}

#[test]
fn only_events_of_contacts_with_ended_runs_cause_questions_once_these_are_loaded() {
    let mut matcher = matcher();
    let asks = |matcher: &Matcher, contact: &str, arrives: i64| {
        let proposal = evaluate(matcher, arrives, &[tagged("t", contact, 10)], &[]);
        !proposal.ended_checks.is_empty()
    };
    let now = START_US + 30 * SECOND_US;
    assert!(asks(&matcher, "c-1", 30) && asks(&matcher, "c-2", 30));
    let of = missing(&mut matcher, now).unwrap();
    assert!(of.first < now - LATE_S * SECOND_US);
    // A page, and then the rest.
    let rows = [("c-1", now - SECOND_US), ("c-3", now - 2 * SECOND_US)];
    let page_end = now - 3 * SECOND_US;
    let rest = matcher.add_ended("acme", of.generation, rows, page_end, now);
    assert_eq!(rest, Some(of.first));
    let before = missing(&mut matcher, now).map(|of| of.before);
    assert_eq!(before, Some(page_end));
    assert!(asks(&matcher, "c-2", 30));
    let rest = matcher.add_ended("acme", of.generation, [], of.first, now);
    assert_eq!((rest, missing(&mut matcher, now)), (None, None));
    assert!(asks(&matcher, "c-1", 30) && !asks(&matcher, "c-2", 30));
    // An event that waited for long may be older than the loaded ends.
    assert!(asks(&matcher, "c-2", -1_000));
    // A contact whose enrollments are loaded again may have ended ones.
    matcher.evict([("acme", "c-2")]);
    assert!(asks(&matcher, "c-2", 30));
    assert_eq!(matcher.stats().ended_contacts, 3);
    // Later, its runs are not watched any more.
    let later = now + 10 * LATE_S * SECOND_US;
    assert_eq!(missing(&mut matcher, later), None);
    assert_eq!(matcher.stats().ended_contacts, 1);
}

#[test]
fn a_longer_window_is_loaded_and_until_then_events_cause_questions() {
    let mut matcher = matcher();
    let now = START_US + 30 * SECOND_US;
    let of = missing(&mut matcher, now).unwrap();
    matcher.add_ended("acme", of.generation, [], of.first, now);
    let mut windowed = one_goal("w-1");
    windowed.goals[0].conversion_window = Some(365 * 86_400 * SECOND_US);
    matcher.update_workflows(&[windowed.clone()]).unwrap();
    let asks = |matcher: &Matcher| {
        let proposal = evaluate(matcher, 30, &[tagged("t", "c-1", 10)], &[]);
        !proposal.ended_checks.is_empty()
    };
    let longer = missing(&mut matcher, now).unwrap();
    assert_eq!(longer.before, of.first);
    assert!(longer.first < now - 365 * 86_400 * SECOND_US && asks(&matcher));
    // A page that was read before the change is not all that is missing.
    matcher.add_ended("acme", of.generation, [], longer.first, now);
    assert!(asks(&matcher));
    matcher.add_ended("acme", longer.generation, [], longer.first, now);
    assert!(!asks(&matcher));
    // Goals that watch nothing cost nothing.
    windowed.goals.clear();
    matcher.update_workflows(&[windowed]).unwrap();
    assert_eq!((missing(&mut matcher, now), asks(&matcher)), (None, false));
}
