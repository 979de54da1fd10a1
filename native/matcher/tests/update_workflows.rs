//! A configuration is validated strictly and updated atomically.

mod evaluate_support;

use evaluate_support::{NOW_US, buffer, commit, goal, started, tagged, workflow};
use goald_matcher::evaluate::EvaluateOptions;
use goald_matcher::matcher::Matcher;
use goald_matcher::proposal::Proposal;
use serde_json::{Value, json};

fn evaluate(matcher: &Matcher, events: &[Value]) -> Proposal {
    matcher
        .evaluate(&[&buffer(events)], NOW_US, EvaluateOptions::default())
        .unwrap()
}

#[test]
fn criteria_are_read_strictly() {
    let cases = [
        ("tag_added", "{}", "criteria are empty"),
        ("tag_added", r#"{"tag_id": null}"#, "criteria are empty"),
        ("tag_added", r#"{"tag_id": 5}"#, "tag_id is not a string"),
        ("tag_added", r#"{"tag_id": ""}"#, "tag_id is empty"),
        ("tag_added", r#"{"tag": "x"}"#, "unknown keys: tag"),
        ("tag_added", "nothing", "not a JSON object"),
        (
            "purchase_made",
            r#"{"any_purchase": 1}"#,
            "must be true or false",
        ),
        (
            "purchase_made",
            r#"{"any_purchase": false}"#,
            "criteria are empty",
        ),
        (
            "purchase_made",
            r#"{"any_purchase": true, "currency": "EUR"}"#,
            "cannot be combined",
        ),
        (
            "purchase_made",
            r#"{"min_amount": 1e2}"#,
            "min_amount is not a decimal",
        ),
        (
            "purchase_made",
            r#"{"min_amount": "1_000"}"#,
            "min_amount is not a decimal",
        ),
        ("form_submitted", "{}", "criteria are empty"),
        (
            "pipeline_stage_reached",
            r#"{"pipeline_id": "p"}"#,
            "stage_id is missing",
        ),
    ];
    for (goal_type, criteria, expected) in cases {
        let mut spec = goal(1, goal_type, &json!({}));
        spec.criteria = criteria.into();
        let error = Matcher::default().update_workflows(&[workflow("w-1", "any", vec![spec])]);
        let message = error.unwrap_err().to_string();
        assert!(message.contains(expected), "{criteria}: {message}");
        let prefix = "workflow w-1 of tenant acme: goal 0000";
        assert!(message.starts_with(prefix), "{message}");
    }
}

#[test]
fn a_configuration_is_updated_completely_or_not_at_all() {
    let mut matcher = Matcher::default();
    let good = || {
        workflow(
            "w-1",
            "any",
            vec![goal(1, "form_submitted", &json!({"form_id": "f"}))],
        )
    };
    matcher.update_workflows(&[good()]).unwrap();
    let duplicate = matcher.update_workflows(&[good(), good()]).unwrap_err();
    assert!(duplicate.to_string().contains("duplicate workflow w-1"));
    assert!(
        matcher
            .update_workflows(&[workflow("w-2", "most", vec![])])
            .is_err()
    );
    assert_eq!((matcher.stats().workflows, matcher.stats().goals), (1, 1));
}

#[test]
fn an_updated_workflow_leaves_the_others_unchanged() {
    let tag = |n, id| goal(n, "tag_added", &json!({"tag_id": id}));
    let mut matcher = Matcher::default();
    let mut table = Default::default();
    matcher
        .update_workflows(&[
            workflow("w-1", "any", vec![tag(1, "t-1")]),
            workflow("w-2", "any", vec![tag(2, "t-2")]),
        ])
        .unwrap();
    let batch = [
        started("e-1", "c-1", "w-1", 10),
        started("e-2", "c-1", "w-2", 10),
    ];
    let proposal = evaluate(&matcher, &batch);
    commit(&mut matcher, &mut table, &proposal);
    let mut idle = workflow("w-2", "any", vec![tag(2, "t-2")]);
    idle.is_active = false;
    matcher.update_workflows(&[idle]).unwrap();
    matcher.update_workflows(&[]).unwrap();
    assert_eq!(matcher.stats().workflows, 2);
    assert!(
        evaluate(&matcher, &[tagged("t-2", "c-1", 20)])
            .achievements
            .is_empty()
    );
    assert_eq!(
        evaluate(&matcher, &[tagged("t-1", "c-1", 20)]).exits.len(),
        1
    );
}
