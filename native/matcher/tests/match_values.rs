//! A goal that compares values of an enrollment is met only by events with the same values (E17).

mod evaluate_support;

use std::collections::BTreeSet;

use evaluate_support::{
    NOW_US, START_US, Table, buffer, commit, copy_with, event, goal, started, workflow,
};
use goald_matcher::evaluate::{EvaluateOptions, Rules, StoredFacts};
use goald_matcher::matcher::Matcher;
use serde_json::{Value, json};

fn cart(enrollment: &str, values: &Value) -> Value {
    let mut start = started(enrollment, "c-1", "w-1", 0);
    start["data"]["match"] = values.clone();
    start
}

fn paid(second: i64, data: Value) -> Value {
    event("payment.completed", "c-1", second, data)
}

fn watching(logic: &str, fanout: usize, criteria: &[Value]) -> Matcher {
    let mut matcher = Matcher::with_fanout(Rules::default(), fanout);
    let goals = criteria.iter().enumerate();
    let goals = goals.map(|(number, criteria)| goal(number, "purchase_made", criteria));
    matcher
        .update_workflows(&[workflow("w-1", logic, goals.collect())])
        .unwrap();
    matcher
}

fn any_of_cart() -> Value {
    json!({"any_purchase": true, "match": ["cart_id"]})
}

/// The enrollments that events complete, in one batch.
fn exits(matcher: &mut Matcher, table: &mut Table, events: &[Value]) -> BTreeSet<String> {
    let proposal = matcher
        .evaluate(&[&buffer(events)], NOW_US, EvaluateOptions::default())
        .unwrap();
    commit(matcher, table, &proposal);
    let ended = proposal.exits.iter().map(|exit| exit.effect);
    ended
        .map(|effect| proposal.effects[effect].enrollment_id.to_string())
        .collect()
}

fn only(enrollment: &str) -> BTreeSet<String> {
    BTreeSet::from([enrollment.to_owned()])
}

#[test]
fn of_two_carts_the_paid_one_exits() {
    for fanout in [64, 0] {
        for batches in [1, 2] {
            let mut matcher = watching("any", fanout, &[any_of_cart()]);
            let mut table = Table::new();
            let mut events = vec![
                cart("run-1", &json!({"cart_id": "c-1"})),
                cart("run-2", &json!({"cart_id": "c-2"})),
                started("run-3", "c-1", "w-1", 0),
            ];
            if batches == 2 {
                assert!(exits(&mut matcher, &mut table, &events).is_empty());
                events.clear();
            }
            events.push(paid(10, json!({"cart_id": "c-2"})));
            assert_eq!(exits(&mut matcher, &mut table, &events), only("run-2"));
            let others = [
                json!({}),
                json!({"cart_id": "c-3"}),
                json!({"cart_id": true}),
            ];
            for (second, other) in others.into_iter().enumerate() {
                let other = [paid(20 + second as i64, other)];
                assert!(exits(&mut matcher, &mut table, &other).is_empty());
            }
            let last = [paid(30, json!({"cart_id": "c-1"}))];
            assert_eq!(exits(&mut matcher, &mut table, &last), only("run-1"));
        }
    }
}

#[test]
fn an_integer_equals_its_decimal_text() {
    let mut matcher = watching("any", 64, &[any_of_cart()]);
    let events = [
        cart("run-1", &json!({"cart_id": 7})),
        paid(10, json!({"cart_id": "7"})),
        cart("run-2", &json!({"cart_id": "8"})),
        paid(11, json!({"cart_id": 8})),
    ];
    let both = exits(&mut matcher, &mut Table::new(), &events);
    assert_eq!(both.len(), 2);
}

#[test]
fn every_name_must_be_equal() {
    let goal = json!({"any_purchase": true, "match": ["cart_id", "shop"]});
    let mut matcher = watching("any", 64, &[goal]);
    let values = json!({"cart_id": "c-1", "shop": "eu"});
    let mut table = Table::new();
    for (second, data) in [
        json!({"cart_id": "c-1"}),
        json!({"cart_id": "c-1", "shop": "us"}),
        json!({"cart_id": "c-2", "shop": "eu"}),
    ]
    .into_iter()
    .enumerate()
    {
        let events = [cart("run-1", &values), paid(10 + second as i64, data)];
        assert!(exits(&mut matcher, &mut table, &events).is_empty());
    }
    let last = [paid(20, json!({"cart_id": "c-1", "shop": "eu"}))];
    assert_eq!(exits(&mut matcher, &mut table, &last), only("run-1"));
}

#[test]
fn a_field_that_occurs_twice_has_no_value() {
    let mut matcher = watching("any", 64, &[any_of_cart()]);
    let mut table = Table::new();
    let start = [cart("run-1", &json!({"cart_id": "c-1"}))];
    exits(&mut matcher, &mut table, &start);
    let event = paid(10, json!({"cart_id": "c-1"})).to_string();
    let twice = event.replacen(r#""data":{"#, r#""data":{"cart_id":"c-1","#, 1);
    let mut writer = goald_matcher::buffer::BufferWriter::new();
    writer.push(1, 0, twice.as_bytes());
    let proposal = matcher
        .evaluate(&[&writer.finish()], NOW_US, EvaluateOptions::default())
        .unwrap();
    assert!(proposal.exits.is_empty() && proposal.rejected.is_empty());
}

#[test]
fn a_goal_without_match_takes_what_another_leaves() {
    let goals = [any_of_cart(), json!({"min_amount": 50})];
    let mut matcher = watching("all", 64, &goals);
    let mut table = Table::new();
    let events = [
        cart("run-1", &json!({"cart_id": "c-1"})),
        paid(10, json!({"cart_id": "c-2", "amount": 50})),
    ];
    assert!(exits(&mut matcher, &mut table, &events).is_empty());
    assert_eq!(table["run-1"].met.len(), 1);
    let last = [paid(20, json!({"cart_id": "c-1", "amount": 1}))];
    assert_eq!(exits(&mut matcher, &mut table, &last), only("run-1"));
}

#[test]
fn values_are_kept_over_a_reload_and_removed_with_the_enrollment() {
    let mut matcher = watching("any", 64, &[any_of_cart()]);
    let empty = matcher.stats().bytes;
    let rows = [["acme", "run-1", "c-1", "w-1"]];
    let load = |matcher: &mut Matcher| {
        let values = r#"{"cart_id": "c-1"}"#;
        matcher
            .load(&copy_with(&rows, START_US, "", values))
            .unwrap();
    };
    load(&mut matcher);
    let loaded = matcher.stats().bytes;
    assert!(loaded > empty);
    for _ in 0..100 {
        matcher.evict([("acme", "c-1")]);
        load(&mut matcher);
    }
    assert_eq!(matcher.stats().bytes, loaded);
    let wrong = [paid(10, json!({"cart_id": "c-2"}))];
    let mut table = Table::new();
    assert!(exits(&mut matcher, &mut table, &wrong).is_empty());
    matcher.evict([("acme", "c-1")]);
    matcher.load(&copy_with(&rows, START_US, "", "")).unwrap();
    let right = [paid(11, json!({"cart_id": "c-1"}))];
    assert!(exits(&mut matcher, &mut table, &right).is_empty());
    let error = matcher.load(&copy_with(&rows, START_US, "", "[]"));
    assert!(error.is_err());
}

#[test]
fn match_is_1_to_4_names_and_no_criterion() {
    let error = |criteria: Value| {
        let goals = vec![goal(1, "purchase_made", &criteria)];
        let result = Matcher::default().update_workflows(&[workflow("w-1", "any", goals)]);
        result.map_err(|error| error.0).err()
    };
    for names in [json!([]), json!(["a b"]), json!(["a", "b", "c", "d", "e"])] {
        let reason = error(json!({"any_purchase": true, "match": names})).unwrap();
        assert!(reason.ends_with("match is not a list of 1 to 4 names"));
    }
    assert!(error(json!({"any_purchase": true, "match": "cart_id"})).is_some());
    let only_names = error(json!({"match": ["cart_id"]})).unwrap();
    assert!(only_names.ends_with("criteria are empty"));
    for unset in [json!(null), json!(false)] {
        assert_eq!(error(json!({"any_purchase": true, "match": unset})), None);
    }
}

#[test]
fn an_explanation_names_the_value_that_differs() {
    let mut matcher = watching("any", 64, &[any_of_cart()]);
    let mut table = Table::new();
    let start = [cart("run-1", &json!({"cart_id": "c-1"}))];
    exits(&mut matcher, &mut table, &start);
    let reason = |matcher: &mut Matcher, data: Value| {
        let event = paid(10, data).to_string();
        let explained = matcher
            .explain(event.as_bytes(), NOW_US, StoredFacts::default())
            .unwrap();
        let explained: Value = serde_json::from_str(&explained).unwrap();
        explained["enrollments"][0]["goals"][0]["reason"].clone()
    };
    assert_eq!(reason(&mut matcher, json!({"cart_id": "c-1"})), json!(null));
    assert_eq!(
        reason(&mut matcher, json!({"cart_id": "c-2"})),
        "the enrollment has another cart_id"
    );
    assert_eq!(reason(&mut matcher, json!({})), "the event has no cart_id");
    matcher.evict([("acme", "c-1")]);
    let without = [started("run-2", "c-1", "w-1", 0)];
    exits(&mut matcher, &mut table, &without);
    assert_eq!(
        reason(&mut matcher, json!({"cart_id": "c-1"})),
        "the enrollment has no cart_id"
    );
}
