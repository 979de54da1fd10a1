//! The dry run says what evaluating the same event would do, and why not.

mod evaluate_support;

use evaluate_support::{NOW_US, buffer, event, goal, started, tagged, workflow};
use goald_matcher::engine::Engine;
use proptest::prelude::*;
use serde_json::{Value, json};

fn explain(engine: &Engine, event: &Value) -> Value {
    let told = engine.explain(event.to_string().as_bytes(), NOW_US);
    serde_json::from_str(&told.unwrap()).unwrap()
}

fn engine(logic: &str, tags: &[&str]) -> Engine {
    let mut engine = Engine::new(0);
    let goals = tags
        .iter()
        .enumerate()
        .map(|(number, tag)| goal(number, "tag_added", &json!({"tag_id": tag})));
    let goals = goals.collect();
    engine
        .update_workflows(&[workflow("w-1", logic, goals)])
        .unwrap();
    happen(&mut engine, &started("e-1", "c-1", "w-1", 10));
    engine
}

/// The goals that the event newly meets, in order, and whether it completes the enrollment.
fn happen(engine: &mut Engine, event: &Value) -> (Vec<String>, bool) {
    let proposal = engine.evaluate(&[&buffer([event])], NOW_US).unwrap();
    let met = proposal
        .achievements
        .iter()
        .map(|row| row.goal_id.to_string());
    let done = (met.collect(), !proposal.exits.is_empty());
    let marks = vec![1; proposal.effects.len()];
    engine.apply(&proposal, &marks).unwrap();
    done
}

/// The same, as the dry run tells it.
fn told(said: &Value) -> (Vec<String>, bool) {
    let Some(enrollment) = said["enrollments"].get(0) else {
        return (Vec::new(), false);
    };
    let goals = enrollment["goals"].as_array().unwrap();
    let achieved = goals.iter().filter(|goal| goal["achieved"] == true);
    let ids = achieved.map(|goal| goal["goal_id"].as_str().unwrap().to_owned());
    (ids.collect(), enrollment["completes"] == true)
}

#[test]
fn the_older_of_two_goals_has_the_achievement() {
    let engine = engine("any", &["t", "t"]);
    let said = explain(&engine, &tagged("t", "c-1", 20));
    let goals = &said["enrollments"][0]["goals"];
    assert_eq!(goals[0]["achieved"], true);
    assert_eq!(
        (&goals[1]["matched"], &goals[1]["achieved"]),
        (&json!(true), &json!(false))
    );
    assert_eq!(goals[1]["reason"], "an older goal completes it");
}

#[test]
fn a_goal_met_before_is_matched_but_not_achieved_again() {
    let mut engine = engine("all", &["t", "u"]);
    happen(&mut engine, &tagged("t", "c-1", 20));
    let said = explain(&engine, &tagged("t", "c-1", 21));
    let enrollment = &said["enrollments"][0];
    assert_eq!(enrollment["completes"], false);
    assert_eq!(enrollment["goals"][0]["reason"], "already met");
    let said = explain(&engine, &tagged("u", "c-1", 22));
    assert_eq!(said["enrollments"][0]["completes"], true);
}

proptest! {
    #[test]
    fn what_is_told_is_what_happens(
        logic in prop::sample::select(vec!["any", "all"]),
        tags in prop::collection::vec(prop::sample::select(vec!["t", "u", "v"]), 0..4),
        events in prop::collection::vec(
            (prop::sample::select(vec!["t", "u", "v", "x"]), 0_i64..30, any::<bool>()), 1..8,
        ),
    ) {
        let mut engine = engine(logic, &tags);
        for (tag, second, is_tag) in events {
            let next = if is_tag {
                tagged(tag, "c-1", second)
            } else {
                event("form.submitted", "c-1", second, json!({"form_id": tag}))
            };
            let said = told(&explain(&engine, &next));
            prop_assert_eq!(said, happen(&mut engine, &next));
        }
    }
}
