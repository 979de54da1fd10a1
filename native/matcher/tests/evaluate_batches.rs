//! A batch over the index has the same result as its events one by one over a plain map.

mod evaluate_support;

use evaluate_support::{
    Deleted, NOW_US, Row, SECOND_US, START_US, Table, buffer, commit_after, copy, ended, event,
    goal, goal_id, started, tagged, workflow,
};
use goald_matcher::buffer::BufferWriter;
use goald_matcher::evaluate::EvaluateOptions;
use goald_matcher::matcher::Matcher;
use goald_matcher::proposal::Owner;
use proptest::prelude::*;
use serde_json::{Value, json};

const WORKFLOWS: [&str; 2] = ["w-any", "w-all"];

#[derive(Debug, Clone)]
enum Step {
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

fn steps() -> impl Strategy<Value = Vec<(Step, i64, bool, bool)>> {
    let owner = || {
        (
            0..5_usize,
            0..3_usize,
            prop::bool::weighted(0.15),
            0..2_usize,
        )
    };
    // Most enrollments always have the same contact and workflow.
    let owner = move || {
        owner().prop_map(|(enrollment, contact, varies, workflow)| match varies {
            true => (enrollment, contact, workflow),
            false => (enrollment, enrollment % 3, enrollment % 2),
        })
    };
    let step = prop_oneof![
        3 => owner().prop_map(|(enrollment, contact, workflow)| {
            Step::Started { enrollment, contact, workflow }
        }),
        1 => owner().prop_map(|(enrollment, contact, workflow)| {
            Step::Ended { enrollment, contact, workflow }
        }),
        5 => (0..3_usize, 0..4_usize).prop_map(|(contact, tag)| Step::Tagged { contact, tag }),
        1 => (0..3_usize).prop_map(|contact| Step::Deleted { contact }),
    ];
    let ends_batch = prop::bool::weighted(0.2);
    prop::collection::vec((step, 0..40_i64, ends_batch, any::<bool>()), 1..60)
}

fn encoded(step: &Step, second: i64) -> Value {
    let contact = |number: &usize| format!("c-{number}");
    let id = |number: &usize| format!("an enrollment, number {number}");
    match step {
        Step::Started {
            enrollment,
            contact: of,
            workflow,
        } => started(&id(enrollment), &contact(of), WORKFLOWS[*workflow], second),
        Step::Ended {
            enrollment,
            contact: of,
            workflow,
        } => ended(&id(enrollment), &contact(of), WORKFLOWS[*workflow], second),
        Step::Tagged { contact: of, tag } => tagged(&format!("t-{tag}"), &contact(of), second),
        Step::Deleted { contact: of } => event("contact.deleted", &contact(of), second, json!({})),
    }
}

/// Applies one event to the table alone. Both workflows have goals for the tags t-1 and t-2.
fn naive(table: &mut Table, deleted: &mut Deleted, step: &Step, second: i64) {
    let time = START_US + second * SECOND_US;
    match step {
        Step::Started {
            enrollment,
            contact,
            workflow,
        }
        | Step::Ended {
            enrollment,
            contact,
            workflow,
        } => {
            let at = deleted.get(&format!("c-{contact}"));
            let is_deleted = at.is_some_and(|at| time <= *at);
            let row = Row {
                contact: format!("c-{contact}"),
                workflow: WORKFLOWS[*workflow].into(),
                status: if is_deleted { "cancelled" } else { "active" },
                enrolled_at: time,
                ended_at: is_deleted.then_some(time),
                met: Vec::new(),
            };
            let owner = (row.contact.clone(), row.workflow.clone());
            let id = format!("an enrollment, number {enrollment}");
            let current = table.entry(id).or_insert(row);
            let same = (current.contact.clone(), current.workflow.clone()) == owner;
            if matches!(step, Step::Ended { .. }) && same && current.status == "active" {
                current.status = "completed";
                current.ended_at = Some(time);
            }
        }
        Step::Tagged { contact, tag } => {
            for row in table.values_mut() {
                let listens = row.status == "active" && row.contact == format!("c-{contact}");
                if !listens || time < row.enrolled_at || !matches!(tag, 1 | 2) {
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
        Step::Deleted { contact } => {
            let latest = deleted.entry(format!("c-{contact}")).or_insert(time);
            *latest = time.max(*latest);
            for row in table.values_mut() {
                let is_enrolled = row.status == "active" && row.contact == format!("c-{contact}");
                if is_enrolled && row.enrolled_at <= time {
                    row.status = "cancelled";
                    row.ended_at = Some(time);
                }
            }
        }
    }
}

fn matcher() -> Matcher {
    let goals = || {
        (1..=2)
            .map(|tag| goal(tag, "tag_added", &json!({"tag_id": format!("t-{tag}")})))
            .collect()
    };
    let mut matcher = Matcher::default();
    let workflows = [
        workflow(WORKFLOWS[0], "any", goals()),
        workflow(WORKFLOWS[1], "all", goals()),
    ];
    matcher.update_workflows(&workflows).unwrap();
    matcher
}

/// Reloads the contacts of these buffers, as after a commit with an unknown outcome.
fn reload(matcher: &mut Matcher, table: &Table, buffers: &[&[u8]]) {
    let contacts = Matcher::contacts_of(buffers).unwrap();
    matcher.evict(
        contacts
            .iter()
            .map(|(tenant, contact)| (&**tenant, &**contact)),
    );
    for (id, row) in table.iter().filter(|(_, row)| row.status == "active") {
        if contacts.iter().any(|(_, contact)| *contact == row.contact) {
            let columns = ["acme", id, &row.contact, &row.workflow];
            matcher
                .load(&copy(&[columns], row.enrolled_at, &row.met.join(",")))
                .unwrap();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_batch_has_the_result_of_its_single_events(steps in steps()) {
        let (mut matcher, mut table, mut expected) = (matcher(), Table::new(), Table::new());
        let (mut deleted, mut expected_deleted) = (Deleted::new(), Deleted::new());
        let mut batch: Vec<Value> = Vec::new();
        for (number, (step, second, ends_batch, reloads)) in steps.iter().enumerate() {
            naive(&mut expected, &mut expected_deleted, step, *second);
            batch.push(encoded(step, *second));
            batch.last_mut().unwrap()["id"] = json!(format!("ev-{number}"));
            if !ends_batch && number + 1 < steps.len() {
                continue;
            }
            let middle = batch.len() / 2;
            let buffers = [buffer(&batch[..middle]), buffer(&batch[middle..])];
            let buffers = [&buffers[0][..], &buffers[1][..]];
            let mut waiting: Vec<Vec<u8>> = buffers.iter().map(|buffer| buffer.to_vec()).collect();
            while !waiting.is_empty() {
                let parts: Vec<&[u8]> = waiting.iter().map(Vec::as_slice).collect();
                let proposal = matcher.evaluate(&parts, NOW_US, EvaluateOptions::default()).unwrap();
                commit_after(&mut matcher, &mut table, &mut deleted, &proposal);
                waiting = proposal.deferred.into_iter().map(|rest| rest.bytes).collect();
            }
            if *reloads {
                reload(&mut matcher, &table, &buffers);
            }
            batch.clear();
            prop_assert_eq!(&table, &expected);
            let active = expected.values().filter(|row| row.status == "active").count();
            prop_assert_eq!(matcher.stats().enrollments, active);
        }
    }
}

/// The proposal of one batch for a matcher without enrollments.
fn evaluate(events: &[Value]) -> goald_matcher::proposal::Proposal {
    matcher()
        .evaluate(&[&buffer(events)], NOW_US, EvaluateOptions::default())
        .unwrap()
}

#[test]
fn every_end_reason_has_its_status() {
    let status = |reason: &str| {
        let mut event = ended("e-1", "c-1", WORKFLOWS[0], 20);
        event["data"]["reason"] = json!(reason);
        evaluate(&[event]).effects[0].status.name()
    };
    for reason in ["completed", "exited", "cancelled"] {
        assert_eq!(status(reason), reason);
    }
}

#[test]
fn all_events_behind_a_new_enrollment_can_be_rejected() {
    let batch = [
        started("e-1", "c-1", WORKFLOWS[0], 10),
        tagged("t-9", "c-1", 11),
        started("e-1", "c-1", WORKFLOWS[0], 12),
        ended("e-1", "c-1", WORKFLOWS[0], 13),
    ];
    let proposal = evaluate(&batch);
    assert_eq!(proposal.effects.len(), 1);
    assert_eq!(proposal.effects[0].rejected(None, None).count(), 0);
    let owner = Owner {
        contact_id: "c-2",
        workflow_id: WORKFLOWS[0],
    };
    let rejected = proposal.effects[0].rejected(Some(owner), None);
    let rejected: Vec<_> = rejected.map(|(source, _)| source).collect();
    let ids: Vec<&str> = rejected.iter().map(|source| &*source.entry_id).collect();
    assert_eq!(ids, ["1-0", "1-2", "1-3"]);
    assert_eq!(rejected[2].bytes, batch[3].to_string().as_bytes());
}

#[test]
fn events_that_differ_from_the_owner_of_an_id_are_rejected() {
    let batch = [
        started("e-1", "c-1", WORKFLOWS[1], 10),
        started("e-1", "c-1", WORKFLOWS[0], 11),
        ended("e-1", "c-2", WORKFLOWS[0], 12),
    ];
    let proposal = evaluate(&batch);
    let [effect] = &proposal.effects[..] else {
        panic!("expected one effect")
    };
    let owner = |contact_id, workflow_id| Owner {
        contact_id,
        workflow_id,
    };
    let rejected = |owner| {
        let sources = effect.rejected(owner, None);
        sources
            .map(|(source, _)| source.entry_id.clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(rejected(None), ["1-1", "1-2"]);
    assert_eq!(rejected(Some(owner("c-1", WORKFLOWS[0]))), ["1-0", "1-2"]);
    assert_eq!(rejected(Some(owner("c-2", WORKFLOWS[0]))), ["1-0", "1-1"]);
    assert_eq!(
        rejected(Some(owner("c-3", WORKFLOWS[0]))),
        ["1-0", "1-1", "1-2"]
    );
    assert!(effect.contender_is_owner(owner("c-1", WORKFLOWS[0])));
    assert!(!effect.contender_is_owner(owner("c-3", WORKFLOWS[0])));
}

#[test]
fn a_refund_and_a_cancelled_appointment_are_reported_and_achieve_nothing() {
    let proposal = evaluate(&[
        event("payment.refunded", "c-1", 5, json!({"amount": 20})),
        event(
            "appointment.cancelled",
            "c-2",
            6,
            json!({"appointment_id": "a-1"}),
        ),
    ]);
    assert!(proposal.achievements.is_empty() && proposal.effects.is_empty());
    assert!(!proposal.changes_nothing());
    let rows: Vec<_> = proposal
        .reversals
        .iter()
        .map(|row| {
            (
                &*row.contact_id,
                row.goal_type.name(),
                row.reference.as_deref(),
            )
        })
        .collect();
    let expected = [
        ("c-1", "purchase_made", None),
        ("c-2", "appointment_booked", Some("a-1")),
    ];
    assert_eq!(rows, expected);
    assert_eq!(proposal.events_by_type["payment.refunded"], 1);
    assert_eq!(proposal.events_by_type["appointment.cancelled"], 1);
}

#[test]
fn an_enrollment_dated_ahead_begins_when_its_start_is_received() {
    let received_ms = |second: i64| ((START_US + second * SECOND_US) / 1000) as u64;
    let status_of = |received: u64, deleted_first: bool| {
        let start = started("e-1", "c-1", WORKFLOWS[0], 30);
        let deletion = event("contact.deleted", "c-1", 20, json!({}));
        let mut batch = [start, deletion];
        if deleted_first {
            batch.reverse();
        }
        let mut writer = BufferWriter::new();
        for (number, event) in batch.iter().enumerate() {
            writer.push(received, number as u64, event.to_string().as_bytes());
        }
        let bytes = writer.finish();
        let proposal = matcher()
            .evaluate(&[&bytes], NOW_US, EvaluateOptions::default())
            .unwrap();
        let effect = proposal.effects.first()?;
        Some((effect.status.name(), effect.received_at.is_some()))
    };
    for deleted_first in [false, true] {
        let received = |second| status_of(received_ms(second), deleted_first);
        // A start of a later contact waits for the commit of the deletion.
        let active = |is_ahead| (!deleted_first).then_some(("active", is_ahead));
        assert_eq!(received(19), Some(("cancelled", true)));
        assert_eq!(received(20), active(true));
        assert_eq!(received(30), active(false));
        // The id of the entry is no time.
        assert_eq!(status_of(1, deleted_first), active(false));
    }
}

#[test]
fn an_end_dated_ahead_is_stored_behind_a_deletion() {
    let mut writer = BufferWriter::new();
    let deletion = event("contact.deleted", "c-1", 20, json!({}));
    let end = ended("e-1", "c-1", WORKFLOWS[0], 30);
    for (number, event) in [deletion, end].iter().enumerate() {
        let received = (START_US + 10 * SECOND_US) / 1000;
        writer.push(received as u64, number as u64, event.to_string().as_bytes());
    }
    let bytes = writer.finish();
    let proposal = matcher()
        .evaluate(&[&bytes], NOW_US, EvaluateOptions::default())
        .unwrap();
    let effect = &proposal.effects[0];
    let expected = ended("e-1", "c-1", WORKFLOWS[0], 30)["data"]["reason"].clone();
    assert_eq!(effect.status.name(), expected.as_str().unwrap());
    assert_eq!(effect.received_at, None);
}

#[test]
fn events_behind_a_deletion_wait_if_an_enrollment_may_be_dated_ahead_of_it() {
    const DAY: i64 = 24 * 3600;
    let deferred = |enrollments: usize, ahead: i64| {
        let mut matcher = matcher();
        let ids: Vec<String> = (0..enrollments).map(|n| format!("e-{n}")).collect();
        let rows: Vec<[&str; 4]> = ids
            .iter()
            .map(|id| ["acme", id, "c-1", WORKFLOWS[0]])
            .collect();
        let enrolled_at = START_US + (20 + ahead) * SECOND_US;
        matcher.load(&copy(&rows, enrolled_at, "")).unwrap();
        let batch = [
            event("contact.deleted", "c-1", 20, json!({})),
            tagged("t-1", "c-1", 21),
        ];
        let options = EvaluateOptions {
            shares: Some((1 << 40, 1 << 40)),
            ..EvaluateOptions::default()
        };
        let proposal = matcher
            .evaluate(&[&buffer(&batch)], NOW_US, options)
            .unwrap();
        assert_eq!(proposal.deletions.len(), 1);
        proposal
            .deferred
            .iter()
            .map(|each| each.events)
            .sum::<u32>()
    };
    // A contact with more than 64 is indexed in another way.
    for enrollments in [1, 200] {
        assert_eq!(deferred(enrollments, 0), 0);
        assert_eq!(deferred(enrollments, 1), 1);
        assert_eq!(deferred(enrollments, DAY), 1);
        assert_eq!(deferred(enrollments, DAY + 1), 0);
    }
}

#[test]
fn an_acknowledgement_is_reported_and_changes_no_enrollment() {
    let ids = json!({"workflow_id": "w-1", "enrollment_id": "e-1", "cancelled_actions": 4});
    let proposal = evaluate(&[event("workflow.exit.acknowledged", "c-1", 5, ids)]);
    assert!(!proposal.changes_nothing() && proposal.effects.is_empty());
    let row = &proposal.acknowledgements[0];
    assert_eq!(
        (&*row.enrollment_id, row.cancelled_actions),
        ("e-1", Some(4))
    );
    assert_eq!(row.time, START_US + 5 * SECOND_US);
}

#[test]
fn events_without_a_listener_are_counted() {
    let other = event("contact.viewed", "c-1", 5, json!({}));
    let form = event("form.submitted", "c-1", 5, json!({"form_id": "f"}));
    let proposal = evaluate(&[other, form, json!({})]);
    assert_eq!(
        (proposal.events, proposal.ignored, proposal.rejected.len()),
        (3, 1, 1)
    );
    assert_eq!(proposal.events_by_type.get("form.submitted"), Some(&1));
    assert!(proposal.changes_nothing());
}
