//! An explanation predicts the result of evaluating the same event.

mod evaluate_support;

use evaluate_support::{NOW_US, buffer, event, goal, started, tagged, workflow};
use goald_matcher::evaluate::{EvaluateOptions, StoredFacts};
use goald_matcher::matcher::Matcher;
use proptest::prelude::*;
use serde_json::{Value, json};

fn explain(matcher: &Matcher, event: &Value) -> Value {
    let explanation = matcher.explain(event.to_string().as_bytes(), NOW_US, StoredFacts::default());
    serde_json::from_str(&explanation.unwrap()).unwrap()
}

fn matcher(logic: &str, tags: &[&str]) -> Matcher {
    let mut matcher = Matcher::default();
    let goals = tags
        .iter()
        .enumerate()
        .map(|(number, tag)| goal(number, "tag_added", &json!({"tag_id": tag})));
    let goals = goals.collect();
    matcher
        .update_workflows(&[workflow("w-1", logic, goals)])
        .unwrap();
    apply(&mut matcher, &started("e-1", "c-1", "w-1", 10));
    matcher
}

/// Applies an event. Returns the goals that it achieves, in order, and whether it completes the
/// enrollment.
fn apply(matcher: &mut Matcher, event: &Value) -> (Vec<String>, bool) {
    let proposal = matcher
        .evaluate(&[&buffer([event])], NOW_US, EvaluateOptions::default())
        .unwrap();
    let met = proposal
        .achievements
        .iter()
        .map(|row| row.goal_id.to_string());
    let result = (met.collect(), !proposal.exits.is_empty());
    let marks = vec![1; proposal.effects.len()];
    matcher.apply(&proposal, &marks).unwrap();
    result
}

/// The same, as an explanation predicts it.
fn predicted(explanation: &Value) -> (Vec<String>, bool) {
    let Some(enrollment) = explanation["enrollments"].get(0) else {
        return (Vec::new(), false);
    };
    let goals = enrollment["goals"].as_array().unwrap();
    let achieved = goals.iter().filter(|goal| goal["achieved"] == true);
    let ids = achieved.map(|goal| goal["goal_id"].as_str().unwrap().to_owned());
    (ids.collect(), enrollment["completes"] == true)
}

#[test]
fn the_older_of_two_goals_gets_the_achievement() {
    let matcher = matcher("any", &["t", "t"]);
    let explanation = explain(&matcher, &tagged("t", "c-1", 20));
    let goals = &explanation["enrollments"][0]["goals"];
    assert_eq!(goals[0]["achieved"], true);
    assert_eq!(
        (&goals[1]["matched"], &goals[1]["achieved"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(goals[1]["reason"], "an older goal completes it");
}

#[test]
fn a_goal_met_before_is_matched_but_not_achieved() {
    let mut matcher = matcher("all", &["t", "u"]);
    apply(&mut matcher, &tagged("t", "c-1", 20));
    let explanation = explain(&matcher, &tagged("t", "c-1", 21));
    let enrollment = &explanation["enrollments"][0];
    assert_eq!(enrollment["completes"], false);
    assert_eq!(enrollment["goals"][0]["reason"], "already met");
    let explanation = explain(&matcher, &tagged("u", "c-1", 22));
    assert_eq!(explanation["enrollments"][0]["completes"], true);
}

proptest! {
    #[test]
    fn an_explanation_predicts_the_evaluation(
        logic in prop::sample::select(vec!["any", "all"]),
        tags in prop::collection::vec(prop::sample::select(vec!["t", "u", "v"]), 0..4),
        events in prop::collection::vec(
            (prop::sample::select(vec!["t", "u", "v", "x"]), 0_i64..30, any::<bool>()), 1..8,
        ),
    ) {
        let mut matcher = matcher(logic, &tags);
        for (tag, second, is_tag) in events {
            let next = if is_tag {
                tagged(tag, "c-1", second)
            } else {
                event("form.submitted", "c-1", second, json!({"form_id": tag}))
            };
            let expected = predicted(&explain(&matcher, &next));
            prop_assert_eq!(expected, apply(&mut matcher, &next));
        }
    }
}
