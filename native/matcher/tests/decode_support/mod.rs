//! Events to decode, in both encodings.

// Each test file is a separate program and uses only part of this module.
#![allow(dead_code)]

use serde_json::{Value, json};

/// 2026-11-20T13:30:00Z.
pub const NOW_US: i64 = 1_795_181_400_000_000;

pub fn envelope(name: &str, data: Value) -> Value {
    json!({
        "specversion": "1.0", "id": "evt-1", "source": "/crm", "type": name,
        "time": "2026-11-20T13:00:00.25Z", "tenantid": "acme", "data": data,
    })
}

/// A valid event of this type with all fields that the type uses.
pub fn with_data(name: &str) -> Value {
    let mut data = match name {
        "contact.tag.added" => json!({"tag_id": "tag-1", "tag_name": "Customer"}),
        "payment.completed" => json!({
            "amount": "19.90", "currency": "EUR", "product_id": "p-1",
            "line_items": [{"product_id": "p-2", "quantity": 1, "amount": null}, {"amount": 1}, null,
                {"amount": "5.00", "product_id": "p-3"}],
        }),
        "appointment.booked" => {
            json!({"calendar_id": "cal-1", "service_id": "svc-1", "status": "confirmed"})
        }
        "payment.refunded" => json!({"payment_id": "pay-1"}),
        "appointment.cancelled" => json!({"appointment_id": "app-1"}),
        "form.submitted" => json!({"form_id": "form-123"}),
        "pipeline.stage.changed" => json!({"pipeline_id": "pipe-1", "stage_id": "stage-1"}),
        "workflow.enrollment.started" => json!({
            "workflow_id": "w-1", "enrollment_id": "e-1",
            "enrolled_at": "2026-11-20T12:00:00Z", "pending_actions": 3,
        }),
        "workflow.enrollment.ended" => {
            json!({"workflow_id": "w-1", "enrollment_id": "e-1", "reason": "exited"})
        }
        "workflow.exit.acknowledged" => {
            json!({"workflow_id": "w-1", "enrollment_id": "e-1", "cancelled_actions": 2})
        }
        _ => json!({}),
    };
    data["contact_id"] = json!("c-1");
    envelope(name, data)
}

pub fn message_pack(value: &Value) -> Vec<u8> {
    let mut bytes = Vec::new();
    rmpv::encode::write_value(&mut bytes, &to_rmpv(value)).unwrap();
    bytes
}

pub fn to_rmpv(value: &Value) -> rmpv::Value {
    match value {
        Value::Null => rmpv::Value::Nil,
        Value::Bool(value) => (*value).into(),
        Value::Number(value) => match (value.as_i64(), value.as_u64()) {
            (Some(value), _) => value.into(),
            (_, Some(value)) => value.into(),
            _ => value.as_f64().unwrap().into(),
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
