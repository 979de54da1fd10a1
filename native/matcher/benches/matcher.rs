//! The time to decode, look up and evaluate an event, by the number of enrollments in memory.
//!
//! `cargo bench -p goald-matcher --bench matcher`. Each iteration is a buffer of 1,000 events
//! in MessagePack, of contacts spread over the index. One event in a hundred achieves a goal.
//! `python -m bench.matcher` measures the same through the binding, and the memory.

use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use goald_matcher::buffer::BufferWriter;
use goald_matcher::config::{GoalSpec, WorkflowSpec};
use goald_matcher::evaluate::EvaluateOptions;
use goald_matcher::matcher::Matcher;

const NOW_US: i64 = 1_795_190_000_000_000;
const EVENTS: u64 = 1_000;
const BUFFERS: u64 = 64;

/// Distributed over all bits, like random UUIDs.
fn uuid(number: u64) -> String {
    let high = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    let low = high.rotate_left(29) ^ number;
    uuid::Uuid::from_u64_pair(high, low).to_string()
}

fn workflow() -> WorkflowSpec {
    WorkflowSpec {
        tenant_id: "acme".into(),
        workflow_id: "w-1".into(),
        goal_logic: "any".into(),
        is_active: true,
        tag_case_sensitive: false,
        goals: vec![GoalSpec {
            id: uuid(0),
            goal_type: "tag_added".into(),
            criteria: r#"{"tag_name": "Customer"}"#.into(),
            check_on_enrollment: false,
            conversion_window: None,
            is_active: true,
            effective_from: Some(0),
            created_at: 0,
            position: 0,
        }],
    }
}

/// A matcher with one enrollment for each of `contacts` contacts.
fn matcher(contacts: u64) -> Matcher {
    let mut matcher = Matcher::default();
    matcher
        .update_workflows(&[workflow()])
        .expect("a valid workflow");
    matcher
        .load(b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0")
        .expect("a header");
    for number in 0..contacts {
        let (contact, enrollment) = (uuid(number), uuid(number + contacts));
        let mut row = 8_i16.to_be_bytes().to_vec();
        let fields: [&[u8]; 8] = [
            b"acme",
            enrollment.as_bytes(),
            contact.as_bytes(),
            b"w-1",
            &[0; 8],
            b"",
            &[0],
            b"",
        ];
        for field in fields {
            row.extend((field.len() as i32).to_be_bytes());
            row.extend(field);
        }
        matcher.load(&row).expect("a row");
    }
    matcher
}

fn event(number: u64, contact: &str) -> Vec<u8> {
    let text = |text: &str| rmpv::Value::from(text);
    let tag = if number % 100 == 0 {
        "Customer"
    } else {
        "Prospect"
    };
    let data = [
        ("contact_id", text(contact)),
        ("tag_id", text("t-1")),
        ("tag_name", text(tag)),
    ];
    let map = |members: &[(&str, rmpv::Value)]| {
        let members = members
            .iter()
            .map(|(key, value)| ((*key).into(), value.clone()));
        rmpv::Value::Map(members.collect())
    };
    let event = map(&[
        ("specversion", text("1.0")),
        ("id", text(&format!("evt-{number:022}"))),
        ("source", text("/crm/eu-1")),
        ("type", text("contact.tag.added")),
        ("time", text("2026-11-20T13:30:00.123456Z")),
        ("tenantid", text("acme")),
        ("data", map(&data)),
    ]);
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, &event).expect("write to memory");
    bytes
}

fn buffer(first: u64, contacts: u64) -> Vec<u8> {
    let mut writer = BufferWriter::new();
    for number in first..first + EVENTS {
        let contact = number.wrapping_mul(0x2545_F491_4F6C_DD1D) % contacts;
        writer.push(number, 0, &event(number, &uuid(contact)));
    }
    writer.finish()
}

fn evaluate(bench: &mut Criterion) {
    let mut group = bench.benchmark_group("evaluate");
    group
        .throughput(Throughput::Elements(EVENTS))
        .sample_size(20);
    for contacts in [1_000, 1_000_000] {
        let matcher = matcher(contacts);
        let buffers: Vec<_> = (0..BUFFERS).map(|n| buffer(n * EVENTS, contacts)).collect();
        let mut next = 0;
        group.bench_function(format!("{contacts} enrollments"), |timer| {
            timer.iter_batched(
                || {
                    next += 1;
                    // A fresh copy, like the buffers that the pipeline has just received.
                    buffers[next % buffers.len()].clone()
                },
                |buffer| {
                    matcher
                        .evaluate(&[black_box(&buffer)], NOW_US, EvaluateOptions::default())
                        .expect("a buffer")
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, evaluate);
criterion_main!(benches);
