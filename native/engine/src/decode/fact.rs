//! What an event says: the attributes, and the fields that its type reads (§3.1).

use super::envelope::Fields;
use super::field::Field;
use super::value::{Begun, Reader, Value};
use crate::amount::Amount;
use crate::event::{EndReason, Event, Fact, Text};
use crate::limits::{AHEAD_US, ID_CHARS, is_id};
use crate::reject::{Reason, Reject};
use crate::time;

/// Decodes a whole event.
pub(super) fn read<'a, R: Reader<'a>>(reader: R, now_us: i64) -> Result<Event<'a>, Reject> {
    let fields = Fields::collect(reader)?;
    version(&fields)?;
    let name = named(&fields, Field::Type)?;
    let time = required(text(&fields, Field::Time)?, Field::Time)?;
    Ok(Event {
        id: named(&fields, Field::Id)?,
        source: named(&fields, Field::Source)?,
        tenant: required(id(&fields, Field::TenantId)?, Field::TenantId)?,
        time_us: moment(&time, Field::Time, now_us)?,
        time,
        traceparent: trace(&fields)?,
        data: R::raw(required_data(&fields)?),
        contact: required(id(&fields, Field::ContactId)?, Field::ContactId)?,
        fact: fact::<R>(&name, &fields, now_us)?,
        name,
    })
}

fn fact<'a, R: Reader<'a>>(
    name: &str,
    fields: &Fields<'a>,
    now_us: i64,
) -> Result<Fact<'a>, Reject> {
    Ok(match name {
        "contact.tag.added" => Fact::TagAdded {
            tag_id: id(fields, Field::TagId)?,
            tag_name: text(fields, Field::TagName)?,
        },
        "payment.completed" => Fact::PaymentCompleted {
            amount: amount(fields)?,
            currency: text(fields, Field::Currency)?,
            product_id: id(fields, Field::ProductId)?,
            line_items: line_items::<R>(fields.get(Field::LineItems))?,
        },
        "appointment.booked" => Fact::AppointmentBooked {
            calendar_id: id(fields, Field::CalendarId)?,
            service_id: id(fields, Field::ServiceId)?,
        },
        "form.submitted" => Fact::FormSubmitted {
            form_id: id(fields, Field::FormId)?,
        },
        "pipeline.stage.changed" => Fact::StageChanged {
            pipeline_id: id(fields, Field::PipelineId)?,
            stage_id: id(fields, Field::StageId)?,
        },
        "workflow.enrollment.started" => Fact::EnrollmentStarted {
            workflow_id: required_id(fields, Field::WorkflowId)?,
            enrollment_id: required_id(fields, Field::EnrollmentId)?,
            enrolled_at_us: match text(fields, Field::EnrolledAt)? {
                Some(text) => Some(moment(&text, Field::EnrolledAt, now_us)?),
                None => None,
            },
            pending_actions: count(fields, Field::PendingActions)?,
        },
        "workflow.enrollment.ended" => Fact::EnrollmentEnded {
            workflow_id: required_id(fields, Field::WorkflowId)?,
            enrollment_id: required_id(fields, Field::EnrollmentId)?,
            reason: end_reason(fields)?,
        },
        "workflow.exit.acknowledged" => Fact::ExitAcknowledged {
            workflow_id: required_id(fields, Field::WorkflowId)?,
            enrollment_id: required_id(fields, Field::EnrollmentId)?,
            cancelled_actions: count(fields, Field::CancelledActions)?,
        },
        "contact.deleted" => Fact::ContactDeleted,
        _ => Fact::Other,
    })
}

fn required<T>(value: Option<T>, field: Field) -> Result<T, Reject> {
    value.ok_or_else(|| Reject::of(field, Reason::Missing))
}

fn required_data<'a>(fields: &Fields<'a>) -> Result<&'a [u8], Reject> {
    match fields.get(Field::Data) {
        Value::Map(bytes) => Ok(bytes),
        _ => Err(Reject::of(Field::Data, Reason::Missing)),
    }
}

/// A string, or `None` where it is absent or null.
#[inline]
fn text<'a>(fields: &Fields<'a>, field: Field) -> Result<Option<Text<'a>>, Reject> {
    match fields.get(field) {
        Value::Text(text) => Ok(Some(text.text())),
        Value::Absent | Value::Null => Ok(None),
        _ => Err(Reject::of(field, Reason::NotText)),
    }
}

/// A required string with something in it.
fn named<'a>(fields: &Fields<'a>, field: Field) -> Result<Text<'a>, Reject> {
    let text = required(text(fields, field)?, field)?;
    if text.is_empty() {
        Err(Reject::of(field, Reason::Empty))
    } else {
        Ok(text)
    }
}

#[inline]
fn id<'a>(fields: &Fields<'a>, field: Field) -> Result<Option<Text<'a>>, Reject> {
    match text(fields, field)? {
        Some(text) if !is_id(&text) => Err(Reject::of(field, Reason::NotAnId)),
        other => Ok(other),
    }
}

fn required_id<'a>(fields: &Fields<'a>, field: Field) -> Result<Text<'a>, Reject> {
    required(id(fields, field)?, field)
}

fn version(fields: &Fields<'_>) -> Result<(), Reject> {
    match text(fields, Field::SpecVersion)? {
        Some(version) if version != "1.0" => {
            Err(Reject::of(Field::SpecVersion, Reason::OtherVersion))
        }
        _ => Ok(()),
    }
}

fn trace<'a>(fields: &Fields<'a>) -> Result<Option<Text<'a>>, Reject> {
    match text(fields, Field::TraceParent)? {
        Some(trace) if trace.len() > ID_CHARS && trace.chars().count() > ID_CHARS => {
            Err(Reject::of(Field::TraceParent, Reason::LongTrace))
        }
        other => Ok(other),
    }
}

fn moment(text: &str, field: Field, now_us: i64) -> Result<i64, Reject> {
    let us = time::parse(text).ok_or_else(|| Reject::of(field, Reason::NotATime))?;
    if us > now_us.saturating_add(AHEAD_US) {
        return Err(Reject::of(field, Reason::FarAhead));
    }
    Ok(us)
}

fn amount(fields: &Fields<'_>) -> Result<Option<Amount>, Reject> {
    let amount = match fields.get(Field::Amount) {
        Value::Absent | Value::Null => return Ok(None),
        Value::Text(text) => Amount::parse(&text.text()),
        Value::Number(text) => Amount::from_json(text),
        Value::Float(value) => Amount::from_f64(value),
        Value::Integer(value) => Amount::from_i64(value),
        Value::Unsigned(value) => Amount::from_u64(value),
        Value::Bool(_) | Value::List(_) | Value::Map(_) => None,
    };
    amount
        .map(Some)
        .ok_or_else(|| Reject::of(Field::Amount, Reason::NotAnAmount))
}

/// A count of things: a whole number that Postgres's integer holds.
fn count(fields: &Fields<'_>, field: Field) -> Result<Option<i32>, Reject> {
    let count = match fields.get(field) {
        Value::Absent | Value::Null => return Ok(None),
        Value::Integer(value) => i32::try_from(value).ok(),
        Value::Unsigned(value) => i32::try_from(value).ok(),
        Value::Number(text) => text.parse().ok(),
        _ => None,
    };
    match count {
        Some(0..) => Ok(count),
        _ => Err(Reject::of(field, Reason::NotACount)),
    }
}

fn end_reason(fields: &Fields<'_>) -> Result<EndReason, Reject> {
    let reason = required(text(fields, Field::Reason)?, Field::Reason)?;
    match &*reason {
        "completed" => Ok(EndReason::Completed),
        "exited" => Ok(EndReason::Exited),
        "cancelled" => Ok(EndReason::Cancelled),
        _ => Err(Reject::of(Field::Reason, Reason::NotAnEndReason)),
    }
}

/// `line_items[].product_id`: a second look at that list alone. A null item has none.
fn line_items<'a, R: Reader<'a>>(value: Value<'a>) -> Result<Vec<Text<'a>>, Reject> {
    let bytes = match value {
        Value::Absent | Value::Null => return Ok(Vec::new()),
        Value::List(bytes) => bytes,
        _ => return Err(Reject::of(Field::LineItems, Reason::NotAList)),
    };
    let mut found = Vec::new();
    let mut reader = R::part(bytes)?;
    let Begun::List(mut items) = reader.begin()? else {
        return Err(Reject::of(Field::LineItems, Reason::NotAList));
    };
    while reader.next_item(&mut items)? {
        match reader.begin()? {
            Begun::Map(mut members) => {
                while let Some(key) = reader.next_key(&mut members)? {
                    let value = reader.value(5)?;
                    if key.text() == "product_id" {
                        found.extend(product_id(value)?);
                    }
                }
            }
            Begun::Scalar(Value::Null) => {}
            _ => return Err(Reject::of(Field::LineItems, Reason::NotAMap)),
        }
    }
    Ok(found)
}

fn product_id(value: Value<'_>) -> Result<Option<Text<'_>>, Reject> {
    let field = Field::LineItemProductId;
    match value {
        Value::Absent | Value::Null => Ok(None),
        Value::Text(text) => match text.text() {
            text if is_id(&text) => Ok(Some(text)),
            _ => Err(Reject::of(field, Reason::NotAnId)),
        },
        _ => Err(Reject::of(field, Reason::NotText)),
    }
}
