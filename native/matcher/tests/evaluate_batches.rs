//! Batches: over the index they end where one event after the other over a plain map ends.

mod evaluate_support;

use evaluate_support::{
    NOW_US, Row, SECOND_US, START_US, Table, buffer, commit, copy, ended, event, goal, goal_id,
    started, tagged, workflow,
};
use goald_matcher::engine::Engine;
use goald_matcher::proposal::Owner;
use proptest::prelude::*;
use serde_json::{Value, json};

const WORKFLOWS: [&str; 2] = ["w-any", "w-all"];

#[derive(Debug, Clone)]
enum Turn {
    Started {
        enrollment: usize,
        contact: usize,
        workflow: usize,
    },
    Ended {
        enrollment: usize,
        contact: usize,
        workflow: usize,
    },
    Tagged {
        contact: usize,
        tag: usize,
    },
    Deleted {
        contact: usize,
    },
}

fn turns() -> impl Strategy<Value = Vec<(Turn, i64, bool, bool)>> {
    let owner = || {
        (
            0..5_usize,
            0..3_usize,
            prop::bool::weighted(0.15),
            0..2_usize,
        )
    };
    // An enrollment mostly has a contact and a workflow of its own.
    let owner = move || {
        owner().prop_map(|(enrollment, contact, strays, workflow)| match strays {
            true => (enrollment, contact, workflow),
            false => (enrollment, enrollment % 3, enrollment % 2),
        })
    };
    let turn = prop_oneof![
        3 => owner().prop_map(|(enrollment, contact, workflow)| {
            Turn::Started { enrollment, contact, workflow }
        }),
        1 => owner().prop_map(|(enrollment, contact, workflow)| {
            Turn::Ended { enrollment, contact, workflow }
        }),
        5 => (0..3_usize, 0..4_usize).prop_map(|(contact, tag)| Turn::Tagged { contact, tag }),
        1 => (0..3_usize).prop_map(|contact| Turn::Deleted { contact }),
    ];
    let ends_batch = prop::bool::weighted(0.2);
    prop::collection::vec((turn, 0..40_i64, ends_batch, any::<bool>()), 1..60)
}

fn encoded(turn: &Turn, second: i64) -> Value {
    let contact = |number: &usize| format!("c-{number}");
    let id = |number: &usize| format!("an enrollment, number {number}");
    match turn {
        Turn::Started {
            enrollment,
            contact: of,
            workflow,
        } => started(&id(enrollment), &contact(of), WORKFLOWS[*workflow], second),
        Turn::Ended {
            enrollment,
            contact: of,
            workflow,
        } => ended(&id(enrollment), &contact(of), WORKFLOWS[*workflow], second),
        Turn::Tagged { contact: of, tag } => tagged(&format!("t-{tag}"), &contact(of), second),
        Turn::Deleted { contact: of } => event("contact.deleted", &contact(of), second, json!({})),
    }
}

/// One event, over the table alone. Both workflows wait for the tags t-1 and t-2.
fn naive(table: &mut Table, turn: &Turn, second: i64) {
    let time = START_US + second * SECOND_US;
    match turn {
        Turn::Started {
            enrollment,
            contact,
            workflow,
        }
        | Turn::Ended {
            enrollment,
            contact,
            workflow,
        } => {
            let row = Row {
                contact: format!("c-{contact}"),
                workflow: WORKFLOWS[*workflow].into(),
                status: "active",
                enrolled_at: time,
                ended_at: None,
                met: Vec::new(),
            };
            let owner = (row.contact.clone(), row.workflow.clone());
            let id = format!("an enrollment, number {enrollment}");
            let known = table.entry(id).or_insert(row);
            let same = (known.contact.clone(), known.workflow.clone()) == owner;
            if matches!(turn, Turn::Ended { .. }) && same && known.status == "active" {
                known.status = "completed";
                known.ended_at = Some(time);
            }
        }
        Turn::Tagged { contact, tag } => {
            for row in table.values_mut() {
                let hears = row.status == "active" && row.contact == format!("c-{contact}");
                if !hears || time < row.enrolled_at || !matches!(tag, 1 | 2) {
                    continue;
                }
                if !row.met.contains(&goal_id(*tag)) {
                    row.met.push(goal_id(*tag));
                    row.met.sort();
                }
                if row.workflow == WORKFLOWS[0] || row.met.len() == 2 {
                    row.status = "completed_goal";
                    row.ended_at = Some(time);
                }
            }
        }
        Turn::Deleted { contact } => {
            for row in table.values_mut() {
                let is_in = row.status == "active" && row.contact == format!("c-{contact}");
                if is_in && row.enrolled_at <= time {
                    row.status = "cancelled";
                    row.ended_at = Some(time);
                }
            }
        }
    }
}

fn engine() -> Engine {
    let goals = || {
        (1..=2)
            .map(|tag| goal(tag, "tag_added", &json!({"tag_id": format!("t-{tag}")})))
            .collect()
    };
    let mut engine = Engine::new(0);
    let workflows = [
        workflow(WORKFLOWS[0], "any", goals()),
        workflow(WORKFLOWS[1], "all", goals()),
    ];
    engine.update_workflows(&workflows).unwrap();
    engine
}

/// Load the contacts of these buffers again, as after a commit whose outcome is unknown.
fn reload(engine: &mut Engine, table: &Table, buffers: &[&[u8]]) {
    let contacts = Engine::contacts_of(buffers).unwrap();
    engine.forget(
        contacts
            .iter()
            .map(|(tenant, contact)| (&**tenant, &**contact)),
    );
    for (id, row) in table.iter().filter(|(_, row)| row.status == "active") {
        if contacts.iter().any(|(_, contact)| *contact == row.contact) {
            let columns = ["acme", id, &row.contact, &row.workflow];
            engine
                .load(&copy(&[columns], row.enrolled_at, &row.met.join(",")))
                .unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn batches_end_where_single_events_end(turns in turns()) {
        let (mut engine, mut table, mut expected) = (engine(), Table::new(), Table::new());
        let mut batch: Vec<Value> = Vec::new();
        for (number, (turn, second, ends_batch, reloads)) in turns.iter().enumerate() {
            naive(&mut expected, turn, *second);
            batch.push(encoded(turn, *second));
            if !ends_batch && number + 1 < turns.len() {
                continue;
            }
            let cut = batch.len() / 2;
            let buffers = [buffer(&batch[..cut]), buffer(&batch[cut..])];
            let buffers = [&buffers[0][..], &buffers[1][..]];
            let proposal = engine.evaluate(&buffers, NOW_US).unwrap();
            commit(&mut engine, &mut table, &proposal);
            if *reloads {
                reload(&mut engine, &table, &buffers);
            }
            batch.clear();
            prop_assert_eq!(&table, &expected);
            let active = expected.values().filter(|row| row.status == "active").count();
            prop_assert_eq!(engine.stats().enrollments, active);
        }
    }
}

/// One batch over an engine that holds nothing yet.
fn evaluate(events: &[Value]) -> goald_matcher::proposal::Proposal {
    engine().evaluate(&[&buffer(events)], NOW_US).unwrap()
}

#[test]
fn every_way_out_has_its_status() {
    let leaving = |reason: &str| {
        let mut event = ended("e-1", "c-1", WORKFLOWS[0], 20);
        event["data"]["reason"] = json!(reason);
        evaluate(&[event]).effects[0].status.name()
    };
    for reason in ["completed", "exited", "cancelled"] {
        assert_eq!(leaving(reason), reason);
    }
}

#[test]
fn the_events_behind_a_claim_can_all_be_refused() {
    let batch = [
        started("e-1", "c-1", WORKFLOWS[0], 10),
        tagged("t-9", "c-1", 11),
        started("e-1", "c-1", WORKFLOWS[0], 12),
        ended("e-1", "c-1", WORKFLOWS[0], 13),
    ];
    let proposal = evaluate(&batch);
    assert_eq!(proposal.effects.len(), 1);
    assert!(proposal.effects[0].refused(None).is_empty());
    let refused = proposal.effects[0].refused(Some(Owner {
        contact_id: "c-2",
        workflow_id: WORKFLOWS[0],
    }));
    let ids: Vec<&str> = refused
        .iter()
        .map(|refused| &*refused.source.entry_id)
        .collect();
    assert_eq!(ids, ["1-0", "1-2", "1-3"]);
    assert_eq!(refused[2].source.bytes, batch[3].to_string().as_bytes());
}

#[test]
fn only_who_differs_from_the_owner_of_an_id_is_refused() {
    let batch = [
        started("e-1", "c-1", WORKFLOWS[1], 10),
        started("e-1", "c-1", WORKFLOWS[0], 11),
        ended("e-1", "c-2", WORKFLOWS[0], 12),
    ];
    let proposal = evaluate(&batch);
    let [effect] = &proposal.effects[..] else {
        panic!("one is proposed")
    };
    let owner = |contact_id, workflow_id| Owner {
        contact_id,
        workflow_id,
    };
    let refused = |owner| {
        let refused = effect.refused(owner).into_iter();
        refused
            .map(|refused| refused.source.entry_id)
            .collect::<Vec<_>>()
    };
    assert_eq!(refused(None), ["1-1", "1-2"]);
    assert_eq!(refused(Some(owner("c-1", WORKFLOWS[0]))), ["1-0", "1-2"]);
    assert_eq!(refused(Some(owner("c-2", WORKFLOWS[0]))), ["1-0", "1-1"]);
    assert_eq!(
        refused(Some(owner("c-3", WORKFLOWS[0]))),
        ["1-0", "1-1", "1-2"]
    );
    assert!(effect.has_rightful(owner("c-1", WORKFLOWS[0])));
    assert!(!effect.has_rightful(owner("c-3", WORKFLOWS[0])));
}

#[test]
fn an_acknowledgement_is_passed_on_and_changes_no_enrollment() {
    let ids = json!({"workflow_id": "w-1", "enrollment_id": "e-1", "cancelled_actions": 4});
    let proposal = evaluate(&[event("workflow.exit.acknowledged", "c-1", 5, ids)]);
    assert!(!proposal.changes_nothing() && proposal.effects.is_empty());
    let told = &proposal.acknowledgements[0];
    assert_eq!(
        (&*told.enrollment_id, told.cancelled_actions),
        ("e-1", Some(4))
    );
    assert_eq!(told.time, START_US + 5 * SECOND_US);
}

#[test]
fn what_nobody_waits_for_is_counted() {
    let other = event("contact.updated", "c-1", 5, json!({}));
    let form = event("form.submitted", "c-1", 5, json!({"form_id": "f"}));
    let proposal = evaluate(&[other, form, json!({})]);
    assert_eq!(
        (
            proposal.events,
            proposal.passed_over,
            proposal.refused.len()
        ),
        (3, 1, 1)
    );
    assert_eq!(proposal.events_by_type.get("form.submitted"), Some(&1));
    assert!(proposal.changes_nothing());
}
