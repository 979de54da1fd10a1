//! The time to decode and to route an event, by type and encoding.
//!
//! `cargo bench -p goald-matcher --bench decode`

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use goald_matcher::decode::decode;
use goald_matcher::route::{routing_key, slot_of};
use serde_json::{Value, json};

const NOW_US: i64 = 1_795_190_000_000_000;

/// Typical events of each type: UUIDs for ids, and some fields that goald does not read.
fn events() -> Vec<(&'static str, Members)> {
    let data = [
        (
            "contact.tag.added",
            json!({"tag_id": "5b0c9a0e-7d2f-4c58-9a55-1c2f6d9a7f10", "tag_name": "Customer"}),
        ),
        (
            "payment.completed",
            json!({
                "amount": 149.5, "currency": "USD",
                "product_id": "0d5f1f4e-6e5e-4b0e-8d7f-6f3f6f0a2b11",
                "line_items": [{"product_id": "prod-1", "quantity": 2}, {"product_id": "prod-2"}],
            }),
        ),
        (
            "appointment.booked",
            json!({"calendar_id": "cal-456", "service_id": "svc-1", "appointment_id": "apt-9"}),
        ),
        (
            "form.submitted",
            json!({"form_id": "form-123", "submission_id": "sub-789"}),
        ),
        (
            "pipeline.stage.changed",
            json!({"pipeline_id": "pipe-1", "stage_id": "stage-4", "previous_stage_id": "stage-3"}),
        ),
        (
            "workflow.enrollment.started",
            json!({
                "workflow_id": "lead-nurturing",
                "enrollment_id": "9f0c0a52-3f60-4a1e-bb5f-0d8b8a9c7d21",
                "enrolled_at": "2026-11-20T12:00:00Z", "pending_actions": 3,
            }),
        ),
    ];
    data.into_iter()
        .map(|(name, data)| (name, envelope(name, data)))
        .collect()
}

/// In the usual order of producers: the type before the data.
fn envelope(name: &str, data: Value) -> Members {
    let contact = (
        "contact_id".to_owned(),
        json!("c7a3f2d0-1b4e-4a6f-8e21-90b4d6f1a3c5"),
    );
    let data = data.as_object().into_iter().flatten();
    let data: Vec<_> = std::iter::once(contact)
        .chain(data.map(|(key, value)| (key.clone(), value.clone())))
        .collect();
    let attributes = [
        ("specversion", "1.0"),
        ("id", "evt-0001843722"),
        ("source", "/crm/eu-1"),
        ("type", name),
        ("time", "2026-11-20T13:30:00.123456Z"),
        ("tenantid", "acme"),
    ];
    let attributes = attributes
        .map(|(key, value)| (key.to_owned(), json!(value)))
        .to_vec();
    Members { attributes, data }
}

/// An event's members in order.
struct Members {
    attributes: Vec<(String, Value)>,
    data: Vec<(String, Value)>,
}

impl Members {
    fn json(&self) -> Vec<u8> {
        let member = |(key, value): &(String, Value)| format!("\"{key}\":{value}");
        let data: Vec<_> = self.data.iter().map(member).collect();
        let mut members: Vec<_> = self.attributes.iter().map(member).collect();
        members.push(format!("\"data\":{{{}}}", data.join(",")));
        format!("{{{}}}", members.join(",")).into_bytes()
    }

    /// In the form in which msgpack-python writes it.
    fn message_pack(&self) -> Vec<u8> {
        let member = |(key, value): &(String, Value)| (key.as_str().into(), to_rmpv(value));
        let data = rmpv::Value::Map(self.data.iter().map(member).collect());
        let mut members: Vec<_> = self.attributes.iter().map(member).collect();
        members.push(("data".into(), data));
        let mut bytes = Vec::new();
        rmpv::encode::write_value(&mut bytes, &rmpv::Value::Map(members)).expect("write to memory");
        bytes
    }
}

fn to_rmpv(value: &Value) -> rmpv::Value {
    match value {
        Value::Null => rmpv::Value::Nil,
        Value::Bool(value) => (*value).into(),
        Value::Number(value) => match value.as_i64() {
            Some(value) => value.into(),
            None => value.as_f64().unwrap_or_default().into(),
        },
        Value::String(value) => value.as_str().into(),
        Value::Array(items) => rmpv::Value::Array(items.iter().map(to_rmpv).collect()),
        Value::Object(members) => rmpv::Value::Map(
            members
                .iter()
                .map(|(key, value)| (key.as_str().into(), to_rmpv(value)))
                .collect(),
        ),
    }
}

fn encodings(bench: &mut Criterion) {
    for (name, event) in events() {
        let packed = event.message_pack();
        let text = event.json();
        for (encoding, bytes) in [("msgpack", &packed), ("json", &text)] {
            let label = format!("{encoding}/{name}/{}B", bytes.len());
            bench.bench_function(&format!("decode/{label}"), |timer| {
                timer.iter(|| decode(black_box(bytes), NOW_US).expect("a valid event"));
            });
            bench.bench_function(&format!("routing_key/{label}"), |timer| {
                timer.iter(|| routing_key(black_box(bytes)).expect("a valid event"));
            });
        }
    }
    bench.bench_function("slot_of", |timer| {
        let contact = "c7a3f2d0-1b4e-4a6f-8e21-90b4d6f1a3c5";
        timer.iter(|| slot_of(black_box("acme"), black_box(contact)));
    });
}

criterion_group!(benches, encodings);
criterion_main!(benches);
