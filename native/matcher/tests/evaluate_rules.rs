//! Criteria (E2), times (E3), and how the matcher explains an event.

mod evaluate_support;

use evaluate_support::{
    NOW_US, SECOND_US, START_US, buffer, commit, ended, event, goal, goal_id, started, tagged,
    workflow,
};
use goald_matcher::config::{GoalSpec, WorkflowSpec};
use goald_matcher::evaluate::{EvaluateOptions, Rules, StoredFacts};
use goald_matcher::matcher::{ApplyError, Matcher};
use goald_matcher::proposal::Proposal;
use serde_json::{Value, json};

/// A matcher with this one goal, and the contact c-1 enrolled at second 10.
fn with_goal(goal: GoalSpec) -> Matcher {
    let mut matcher = Matcher::default();
    matcher
        .update_workflows(&[workflow("w-1", "any", vec![goal])])
        .unwrap();
    enroll(&mut matcher);
    matcher
}

fn enroll(matcher: &mut Matcher) {
    let proposal = evaluate(matcher, &[started("e-1", "c-1", "w-1", 10)]);
    commit(matcher, &mut Default::default(), &proposal);
}

fn evaluate(matcher: &Matcher, events: &[Value]) -> Proposal {
    matcher
        .evaluate(&[&buffer(events)], NOW_US, EvaluateOptions::default())
        .unwrap()
}

/// Why the event does not achieve the only goal; empty if it does.
fn mismatch(matcher: &Matcher, event: &Value) -> String {
    let matched = evaluate(matcher, std::slice::from_ref(event)).exits.len() == 1;
    let explanation: Value = serde_json::from_str(
        &matcher
            .explain(event.to_string().as_bytes(), NOW_US, StoredFacts::default())
            .unwrap(),
    )
    .unwrap();
    let goal = &explanation["enrollments"][0]["goals"][0];
    assert_eq!(goal["matched"], json!(matched), "{event}");
    goal["reason"].as_str().unwrap_or_default().to_owned()
}

#[test]
fn every_criterion_that_is_set_must_hold() {
    let (tag, pay, book) = (
        "contact.tag.added",
        "payment.completed",
        "appointment.booked",
    );
    let (form, stage) = ("form.submitted", "pipeline.stage.changed");
    let of = |name: &str| match name {
        "contact.tag.added" => "tag_added",
        "payment.completed" => "purchase_made",
        "appointment.booked" => "appointment_booked",
        "form.submitted" => "form_submitted",
        _ => "pipeline_stage_reached",
    };
    let cases = [
        (
            json!({"tag_id": "t"}),
            tag,
            json!({"tag_id": "t", "tag_name": "x"}),
            "",
        ),
        (
            json!({"tag_id": "t"}),
            tag,
            json!({"tag_id": "u"}),
            "wrong tag",
        ),
        (
            json!({"tag_id": "t"}),
            tag,
            json!({"tag_name": "t"}),
            "no tag to compare",
        ),
        // The id decides if both sides have one.
        (
            json!({"tag_id": "t", "tag_name": "n"}),
            tag,
            json!({"tag_id": "u", "tag_name": "n"}),
            "wrong tag",
        ),
        (
            json!({"tag_id": "t", "tag_name": "n"}),
            tag,
            json!({"tag_name": "n"}),
            "",
        ),
        (
            json!({"tag_name": "café"}),
            tag,
            json!({"tag_name": "cafe\u{301}"}),
            "",
        ),
        (
            json!({"tag_name": "cafe\u{301}"}),
            tag,
            json!({"tag_name": "café"}),
            "",
        ),
        (
            json!({"tag_name": "Customer"}),
            tag,
            json!({"tag_name": " customer"}),
            "",
        ),
        (
            json!({"tag_name": "Customer"}),
            tag,
            json!({"tag_name": "customers"}),
            "wrong tag",
        ),
        (json!({"any_purchase": true}), pay, json!({}), ""),
        (
            json!({"min_amount": "100.00"}),
            pay,
            json!({"amount": 100}),
            "",
        ),
        (
            json!({"min_amount": 100, "any_purchase": false}),
            pay,
            json!({"amount": "99.99"}),
            "amount below",
        ),
        (
            json!({"min_amount": 0.1}),
            pay,
            json!({"amount": "0.1"}),
            "",
        ),
        (json!({"min_amount": "1"}), pay, json!({}), "no amount"),
        (
            json!({"product_id": "p"}),
            pay,
            json!({"line_items": [{"product_id": "p"}]}),
            "",
        ),
        (
            json!({"product_id": "p"}),
            pay,
            json!({"product_id": "q"}),
            "wrong product",
        ),
        (
            json!({"currency": "EUR", "min_amount": "1"}),
            pay,
            json!({"amount": 5, "currency": "USD"}),
            "wrong currency",
        ),
        (
            json!({"currency": "EUR"}),
            pay,
            json!({"currency": "eUr"}),
            "",
        ),
        (
            json!({"currency": "usd"}),
            pay,
            json!({"currency": " USD\n"}),
            "",
        ),
        (
            json!({"currency": "EUR"}),
            pay,
            json!({"currency": "EURO"}),
            "wrong currency",
        ),
        (
            json!({"any_purchase": true}),
            pay,
            json!({"amount": "-20.00"}),
            "amount not above zero",
        ),
        (
            json!({"product_id": "p"}),
            pay,
            json!({"amount": 0, "product_id": "p"}),
            "amount not above zero",
        ),
        (json!({"min_amount": "0.00"}), pay, json!({"amount": 0}), ""),
        (
            json!({"min_amount": 0}),
            pay,
            json!({"amount": -1}),
            "amount not above zero",
        ),
        (
            json!({"product_id": "p", "min_amount": 100}),
            pay,
            json!({"amount": 150, "line_items": [{"product_id": "p", "amount": 30}]}),
            "amount below",
        ),
        (
            json!({"product_id": "p", "min_amount": 100}),
            pay,
            json!({"amount": 50, "line_items": [
                {"product_id": "p", "amount": 30}, {"product_id": "p", "amount": "100.00"}]}),
            "",
        ),
        (
            json!({"product_id": "p", "min_amount": 100}),
            pay,
            json!({"amount": 150, "product_id": "p",
                "line_items": [{"product_id": "p"}, {"product_id": "q", "amount": 30}]}),
            "",
        ),
        (
            json!({"product_id": "p", "min_amount": 100}),
            pay,
            json!({"line_items": [{"product_id": "p", "amount": 100}]}),
            "",
        ),
        (json!({"any_appointment": true}), book, json!({}), ""),
        (
            json!({"calendar_id": "k"}),
            book,
            json!({"calendar_id": "l"}),
            "wrong calendar",
        ),
        (
            json!({"calendar_id": "k", "service_id": "s"}),
            book,
            json!({"calendar_id": "k"}),
            "wrong service",
        ),
        (
            json!({"service_id": "s"}),
            book,
            json!({"service_id": "s"}),
            "",
        ),
        (
            json!({"any_appointment": true}),
            book,
            json!({"status": "no-show"}),
            "appointment cancelled, moved or missed",
        ),
        (
            json!({"status": "confirmed"}),
            book,
            json!({"status": "Confirmed"}),
            "",
        ),
        (json!({"status": "booked"}), book, json!({}), ""),
        (
            json!({"status": "showed", "calendar_id": "k"}),
            book,
            json!({"status": "confirmed", "calendar_id": "k"}),
            "wrong status",
        ),
        (json!({"form_id": "f"}), form, json!({"form_id": "f"}), ""),
        (json!({"form_id": "f"}), form, json!({}), "wrong form"),
        (
            json!({"pipeline_id": "p", "stage_id": "s"}),
            stage,
            json!({"stage_id": "s"}),
            "",
        ),
        (
            json!({"pipeline_id": "p", "stage_id": "s"}),
            stage,
            json!({"stage_id": "s", "pipeline_id": "q"}),
            "wrong pipeline",
        ),
        (
            json!({"stage_id": "s"}),
            stage,
            json!({"pipeline_id": "p"}),
            "wrong stage",
        ),
        (
            json!({"stage_id": "s"}),
            stage,
            json!({"pipeline_id": "p", "stage_id": "s"}),
            "",
        ),
    ];
    for (criteria, name, data, expected) in cases {
        let matcher = with_goal(goal(1, of(name), &criteria));
        let reason = mismatch(&matcher, &event(name, "c-1", 20, data.clone()));
        assert_eq!(reason, expected, "{criteria} {data}");
    }
    let matcher = with_goal(goal(1, "form_submitted", &json!({"form_id": "f"})));
    assert_eq!(
        mismatch(&matcher, &tagged("t", "c-1", 20)),
        "other event type"
    );
}

#[test]
fn nothing_is_retroactive() {
    let mut late = goal(1, "tag_added", &json!({"tag_id": "t"}));
    let mut matcher = with_goal(late.clone());
    assert_eq!(
        mismatch(&matcher, &tagged("t", "c-1", 9)),
        "before enrollment"
    );
    assert_eq!(mismatch(&matcher, &tagged("t", "c-1", 10)), "");
    let mut configure = |goal: &GoalSpec, event: &Value| {
        matcher
            .update_workflows(&[workflow("w-1", "any", vec![goal.clone()])])
            .unwrap();
        mismatch(&matcher, event)
    };
    late.effective_from = Some(START_US + 30 * SECOND_US);
    assert_eq!(
        configure(&late, &tagged("t", "c-1", 29)),
        "before effective_from"
    );
    assert_eq!(configure(&late, &tagged("t", "c-1", 30)), "");
    late.effective_from = None;
    assert_eq!(configure(&late, &tagged("t", "c-1", 50)), "never activated");
    late.is_active = false;
    assert_eq!(configure(&late, &tagged("t", "c-1", 50)), "goal inactive");
}

#[test]
fn a_clock_skew_loosens_the_comparison() {
    let mut matcher = Matcher::new(Rules {
        clock_skew_us: 2 * SECOND_US,
        ..Rules::default()
    });
    let goals = vec![goal(1, "tag_added", &json!({"tag_id": "t"}))];
    matcher
        .update_workflows(&[workflow("w-1", "any", goals)])
        .unwrap();
    enroll(&mut matcher);
    assert_eq!(mismatch(&matcher, &tagged("t", "c-1", 8)), "");
    assert_eq!(
        mismatch(&matcher, &tagged("t", "c-1", 7)),
        "before enrollment"
    );
}

#[test]
fn the_older_of_two_matching_goals_gets_the_achievement() {
    let mut matcher = Matcher::default();
    let criteria = json!({"tag_id": "t"});
    let mut goals: Vec<GoalSpec> = (1..=3).map(|n| goal(n, "tag_added", &criteria)).collect();
    goals[0].created_at += 1;
    goals[1].position = 9;
    matcher
        .update_workflows(&[workflow("w-1", "any", goals)])
        .unwrap();
    enroll(&mut matcher);
    let proposal = evaluate(&matcher, &[tagged("t", "c-1", 20)]);
    assert_eq!(proposal.achievements.len(), 1);
    assert_eq!(proposal.achievements[0].goal_id.to_string(), goal_id(3));
}

#[test]
fn a_goal_met_before_the_logic_became_any_is_not_achieved_twice() {
    let both = |logic: &str| {
        let goals = (1..=2).map(|n| goal(n, "tag_added", &json!({"tag_id": format!("t-{n}")})));
        [workflow("w-1", logic, goals.collect())]
    };
    let mut matcher = Matcher::default();
    let mut table = Default::default();
    matcher.update_workflows(&both("all")).unwrap();
    for event in [started("e-1", "c-1", "w-1", 10), tagged("t-1", "c-1", 20)] {
        let proposal = evaluate(&matcher, &[event]);
        assert!(proposal.exits.is_empty());
        commit(&mut matcher, &mut table, &proposal);
    }
    matcher.update_workflows(&both("any")).unwrap();
    let proposal = evaluate(&matcher, &[tagged("t-1", "c-1", 21)]);
    assert_eq!((proposal.achievements.len(), proposal.exits.len()), (0, 1));
    assert_eq!(proposal.exits[0].goal_ids[0].to_string(), goal_id(1));
}

#[test]
fn a_deactivated_goal_completes_an_enrollment_only_at_the_next_match() {
    let goals = |second_is_active| {
        let mut goals: Vec<GoalSpec> = (1..=2)
            .map(|n| goal(n, "tag_added", &json!({"tag_id": format!("t-{n}")})))
            .collect();
        goals[1].is_active = second_is_active;
        [workflow("w-1", "all", goals)]
    };
    let mut matcher = Matcher::default();
    matcher.update_workflows(&goals(true)).unwrap();
    let batch = [started("e-1", "c-1", "w-1", 10), tagged("t-1", "c-1", 20)];
    let proposal = evaluate(&matcher, &batch);
    commit(&mut matcher, &mut Default::default(), &proposal);
    matcher.update_workflows(&goals(false)).unwrap();
    assert!(evaluate(&matcher, &[tagged("t-2", "c-1", 21)]).changes_nothing());
    let proposal = evaluate(&matcher, &[tagged("t-1", "c-1", 22)]);
    assert_eq!((proposal.achievements.len(), proposal.exits.len()), (0, 1));
}

#[test]
fn achievement_and_exit_name_the_event_behind_them() {
    let matcher = with_goal(goal(1, "tag_added", &json!({"tag_id": "t"})));
    let mut event = tagged("t", "c-1", 20);
    event["traceparent"] = json!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    let proposal = evaluate(&matcher, &[event.clone()]);
    let (achievement, exit) = (&proposal.achievements[0], &proposal.exits[0]);
    let trigger: Value = serde_json::from_str(&achievement.trigger_event).unwrap();
    let metadata: Value = serde_json::from_str(&achievement.metadata).unwrap();
    assert_eq!(trigger, event["data"]);
    for (name, from) in [
        ("event_id", "id"),
        ("source", "source"),
        ("traceparent", "traceparent"),
    ] {
        assert_eq!(metadata[name], event[from]);
    }
    assert_eq!(exit.traceparent.as_deref(), event["traceparent"].as_str());
    assert_eq!(
        (exit.achieved_at, exit.received_at),
        (START_US + 20 * SECOND_US, 1_000)
    );
}

#[test]
fn an_enrollment_id_of_another_owner_is_rejected() {
    let mut matcher = with_goal(goal(1, "tag_added", &json!({"tag_id": "t"})));
    let other_workflow = evaluate(&matcher, &[ended("e-1", "c-1", "w-2", 20)]);
    let [rejected] = &other_workflow.rejected[..] else {
        panic!("expected one rejected event")
    };
    assert!(rejected.reason.contains("another contact or workflow"));
    assert!(other_workflow.changes_nothing());
    // Within a batch, a contender for an indexed enrollment is found by the effect on it.
    let batch = [
        ended("e-1", "c-1", "w-1", 20),
        started("e-1", "c-2", "w-1", 21),
    ];
    let proposal = evaluate(&matcher, &batch);
    let [effect] = &proposal.effects[..] else {
        panic!("expected one effect")
    };
    assert_eq!(effect.rejected(None, None).count(), 1);
    commit(&mut matcher, &mut Default::default(), &proposal);
}

#[test]
fn a_proposal_is_applied_once_with_a_mark_for_each_effect() {
    let mut matcher = with_goal(goal(1, "tag_added", &json!({"tag_id": "t"})));
    let proposal = evaluate(&matcher, &[tagged("t", "c-1", 20)]);
    let lengths = matcher.apply(&proposal, &[]).unwrap_err();
    assert_eq!(lengths, ApplyError::Lengths { rows: 1, marks: 0 });
    assert!(lengths.to_string().contains("1 effects"));
    matcher.apply(&proposal, &[1]).unwrap();
    let stale = matcher.apply(&proposal, &[1]).unwrap_err();
    assert!(stale.to_string().contains("memory changed"));
}

#[test]
fn the_explanation_names_what_is_missing() {
    let mut matcher = with_goal(goal(1, "tag_added", &json!({"tag_id": "t"})));
    let explain = |matcher: &Matcher, event: &Value| -> Value {
        serde_json::from_str(
            &matcher
                .explain(event.to_string().as_bytes(), NOW_US, StoredFacts::default())
                .unwrap(),
        )
        .unwrap()
    };
    let other = explain(&matcher, &event("contact.updated", "c-1", 20, json!({})));
    assert_eq!(other["reason"], "other event type");
    assert_eq!(
        explain(&matcher, &tagged("t", "c-2", 20))["reason"],
        "not enrolled"
    );
    let mut bare = Matcher::default();
    let proposal = evaluate(&bare, &[started("e-1", "c-1", "w-1", 10)]);
    commit(&mut bare, &mut Default::default(), &proposal);
    assert_eq!(
        explain(&bare, &tagged("t", "c-1", 20))["enrollments"][0]["reason"],
        "workflow unknown"
    );
    let mut expect = |workflows: &[WorkflowSpec], reason: &str| {
        matcher.update_workflows(workflows).unwrap();
        let explanation = explain(&matcher, &tagged("t", "c-1", 20));
        assert_eq!(explanation["enrollments"][0]["reason"], reason);
    };
    expect(&[workflow("w-1", "all", vec![])], "no goals");
    let mut inactive = workflow(
        "w-1",
        "all",
        vec![goal(1, "form_submitted", &json!({"form_id": "f"}))],
    );
    inactive.is_active = false;
    expect(&[inactive], "workflow inactive");
    assert!(
        matcher
            .explain(b"{}", NOW_US, StoredFacts::default())
            .is_err()
    );
}
