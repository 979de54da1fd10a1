//! Reads the attributes of an event and the fields that its type needs (docs/asyncapi.yaml).

use uuid::Uuid;

use super::envelope::Fields;
use super::id::number_text;
use super::match_values;
use super::scalars::{amount, id_at, text_or_integer, valid_text};
use super::tags::tags;
use super::value::{Kind, Number, Reader, Span};
use super::walk::{self, ITEM_VALUE_DEPTH};
use crate::event::limits::{AHEAD_US, COUNT, TRACE_CHARS};
use crate::event::reject::{Reason, Reject};
use crate::event::{AppointmentStatus, EndReason, Event, Fact, Field, LineItem, Text};
use crate::event::{loose_time, time};
use crate::ids::derived::event_key;

/// Starts the pseudonyms of deleted contacts. The same text is in `goald.domain.records.erasure`.
const PSEUDONYM_PREFIX: &str = "erased:";

/// Decodes an event.
pub(super) fn read<'a, R: Reader<'a>>(reader: R, now_us: i64) -> Result<Event<'a>, Reject> {
    let mut fields = Fields::new(reader);
    fields.collect()?;
    check_version(&fields)?;
    let name = required(text(&fields, Field::Type)?, Field::Type)?;
    if name.is_empty() {
        return Err(Reject::of(Field::Type, Reason::Empty));
    }
    let (time, time_us) = required(timestamp(&fields, Field::Time, now_us)?, Field::Time)?;
    Ok(Event {
        id: non_empty(&fields, Field::Id)?,
        source: non_empty(&fields, Field::Source)?,
        tenant: required(id(&fields, Field::TenantId)?, Field::TenantId)?,
        time_us,
        time,
        traceparent: traceparent(&fields)?,
        data: R::raw(data(&fields)?),
        contact: contact(&fields)?,
        fact: fact(&name, &fields, now_us)?,
        name,
    })
}

fn fact<'a, R: Reader<'a>>(
    name: &str,
    fields: &Fields<R>,
    now_us: i64,
) -> Result<Fact<'a>, Reject> {
    Ok(match name {
        "contact.tag.added" => Fact::TagAdded {
            tag_id: id(fields, Field::TagId)?,
            tag_name: text(fields, Field::TagName)?,
            tags: tags(fields)?,
        },
        "payment.completed" => Fact::PaymentCompleted {
            amount: amount(&fields.reader, fields.get(Field::Amount), Field::Amount)?,
            currency: text(fields, Field::Currency)?,
            product_id: id(fields, Field::ProductId)?,
            line_items: line_items(fields)?,
        },
        "appointment.booked" => Fact::AppointmentBooked {
            calendar_id: id(fields, Field::CalendarId)?,
            service_id: id(fields, Field::ServiceId)?,
            status: appointment_status(fields)?,
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
            enrolled_at_us: timestamp(fields, Field::EnrolledAt, now_us)?.map(|(_, us)| us),
            pending_actions: count(fields, Field::PendingActions)?,
            started_by: started_by(fields)?,
            match_values: match_values::read(fields)?,
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
        _ => rare(name, fields)?,
    })
}

/// Reads the types that achieve nothing: what undoes an achievement, and what describes a contact.
/// Not inlined: the code of the frequent types stays small.
#[inline(never)]
fn rare<'a, R: Reader<'a>>(name: &str, fields: &Fields<R>) -> Result<Fact<'a>, Reject> {
    Ok(match name {
        "payment.refunded" => Fact::PaymentRefunded {
            payment_id: id(fields, Field::PaymentId)?,
        },
        "appointment.cancelled" => Fact::AppointmentCancelled {
            appointment_id: id(fields, Field::AppointmentId)?,
        },
        "contact.updated" => Fact::ContactUpdated,
        "contact.merged" => Fact::ContactMerged {
            into_contact_id: contact_id(fields, Field::IntoContactId)?,
        },
        "contact.tag.removed" => Fact::TagRemoved,
        _ => Fact::Other,
    })
}

fn required<T>(value: Option<T>, field: Field) -> Result<T, Reject> {
    value.ok_or_else(|| Reject::of(field, Reason::Missing))
}

fn data<'a, R: Reader<'a>>(fields: &Fields<R>) -> Result<&'a [u8], Reject> {
    let span = fields.get(Field::Data);
    if span.is_absent() {
        return Err(Reject::of(Field::Data, Reason::Missing));
    }
    Ok(&fields.reader.bytes()[span.start()..span.end()])
}

/// A string; `None` if it is absent or null.
#[inline]
fn text<'a, R: Reader<'a>>(fields: &Fields<R>, field: Field) -> Result<Option<Text<'a>>, Reject> {
    let span = fields.get(field);
    match span.kind() {
        Kind::Text | Kind::Escaped => valid_text(&fields.reader, span, field).map(Some),
        Kind::Absent | Kind::Null => Ok(None),
        _ => Err(Reject::of(field, Reason::NotText)),
    }
}

/// A required string or integer that is not empty.
fn non_empty<'a, R: Reader<'a>>(fields: &Fields<R>, field: Field) -> Result<Text<'a>, Reject> {
    let text = required(
        text_or_integer(&fields.reader, fields.get(field), field)?,
        field,
    )?;
    if text.is_empty() {
        Err(Reject::of(field, Reason::Empty))
    } else {
        Ok(text)
    }
}

#[inline]
fn id<'a, R: Reader<'a>>(fields: &Fields<R>, field: Field) -> Result<Option<Text<'a>>, Reject> {
    id_at(&fields.reader, fields.get(field), field)
}

fn required_id<'a, R: Reader<'a>>(fields: &Fields<R>, field: Field) -> Result<Text<'a>, Reject> {
    required(id(fields, field)?, field)
}

fn contact<'a, R: Reader<'a>>(fields: &Fields<R>) -> Result<Text<'a>, Reject> {
    contact_id(fields, Field::ContactId)
}

fn contact_id<'a, R: Reader<'a>>(fields: &Fields<R>, field: Field) -> Result<Text<'a>, Reject> {
    let contact = required_id(fields, field)?;
    if contact.starts_with(PSEUDONYM_PREFIX) {
        return Err(Reject::of(field, Reason::ReservedId));
    }
    Ok(contact)
}

fn check_version<'a, R: Reader<'a>>(fields: &Fields<R>) -> Result<(), Reject> {
    match text(fields, Field::SpecVersion)? {
        Some(version) if version != "1.0" => {
            Err(Reject::of(Field::SpecVersion, Reason::OtherVersion))
        }
        _ => Ok(()),
    }
}

fn traceparent<'a, R: Reader<'a>>(fields: &Fields<R>) -> Result<Option<Text<'a>>, Reject> {
    match text(fields, Field::TraceParent)? {
        Some(text) if text.len() > TRACE_CHARS && text.chars().count() > TRACE_CHARS => {
            Err(Reject::of(Field::TraceParent, Reason::LongTrace))
        }
        other => Ok(other),
    }
}

/// A time with its text in RFC 3339; `None` if it is absent or null.
#[inline]
fn timestamp<'a, R: Reader<'a>>(
    fields: &Fields<R>,
    field: Field,
    now_us: i64,
) -> Result<Option<(Text<'a>, i64)>, Reject> {
    let span = fields.get(field);
    let (text, us) = match span.kind() {
        Kind::Text | Kind::Escaped => {
            let text = valid_text(&fields.reader, span, field)?;
            match time::parse(&text) {
                Some(us) => (text, us),
                None => loose_time(loose_time::parse(&text), field)?,
            }
        }
        Kind::Absent | Kind::Null => return Ok(None),
        Kind::Number => {
            let us = number_text(fields.reader.number(span))
                .and_then(|text| loose_time::parse_number(&text));
            loose_time(us, field)?
        }
        _ => return Err(Reject::of(field, Reason::NotATime)),
    };
    if us > now_us.saturating_add(AHEAD_US) {
        return Err(Reject::of(field, Reason::FarAhead));
    }
    Ok(Some((text, us)))
}

#[cold]
fn loose_time<'a>(us: Option<i64>, field: Field) -> Result<(Text<'a>, i64), Reject> {
    let us = us.ok_or_else(|| Reject::of(field, Reason::NotATime))?;
    Ok((loose_time::text(us).into(), us))
}

/// A count: a non-negative integer in the range of a Postgres `integer`.
fn count<'a, R: Reader<'a>>(fields: &Fields<R>, field: Field) -> Result<Option<i32>, Reject> {
    let span = fields.get(field);
    let count = match span.kind() {
        Kind::Absent | Kind::Null => return Ok(None),
        Kind::Number => match fields.reader.number(span) {
            Number::Integer(value) => i32::try_from(value).ok(),
            Number::Unsigned(value) => i32::try_from(value).ok(),
            Number::Text(text) => text.parse().ok(),
            Number::Float(_) => None,
        },
        _ => None,
    };
    match count {
        Some(0..=COUNT) => Ok(count),
        _ => Err(Reject::of(field, Reason::NotACount)),
    }
}

/// `Booked` if absent or null: the event says that the appointment is booked.
#[inline]
fn appointment_status<'a, R: Reader<'a>>(fields: &Fields<R>) -> Result<AppointmentStatus, Reject> {
    let status = text(fields, Field::Status)?;
    Ok(status.map_or(AppointmentStatus::Booked, |status| {
        AppointmentStatus::of(&status)
    }))
}

fn end_reason<'a, R: Reader<'a>>(fields: &Fields<R>) -> Result<EndReason, Reject> {
    let reason = required(text(fields, Field::Reason)?, Field::Reason)?;
    match &*reason {
        "completed" => Ok(EndReason::Completed),
        "exited" => Ok(EndReason::Exited),
        "cancelled" => Ok(EndReason::Cancelled),
        _ => Err(Reject::of(Field::Reason, Reason::NotAnEndReason)),
    }
}

/// The event that started an enrollment: a map with its `source` and `id`. Reads the map a second
/// time.
fn started_by<'a, R: Reader<'a>>(fields: &Fields<R>) -> Result<Option<Uuid>, Reject> {
    let field = Field::StartedBy;
    let span = fields.get(field);
    match span.kind() {
        Kind::Absent | Kind::Null => return Ok(None),
        Kind::Map => {}
        _ => return Err(Reject::of(field, Reason::NotAMap)),
    }
    let mut reader = R::new(&fields.reader.bytes()[span.start()..span.end()])?;
    let mut members = reader.begin()?.members();
    let (mut source, mut id) = (None, None);
    loop {
        let key = reader.next_key(&mut members)?;
        if key.is_absent() {
            break;
        }
        let value = walk::value(&mut reader, ITEM_VALUE_DEPTH)?;
        let part = match &*reader.text(key) {
            "source" => &mut source,
            "id" => &mut id,
            _ => continue,
        };
        *part = text_or_integer(&reader, value, field)
            .unwrap_or(None)
            .filter(|text| !text.is_empty());
    }
    match (source, id) {
        (Some(source), Some(id)) => Ok(Some(event_key(&source, &id))),
        _ => Err(Reject::of(field, Reason::NotAnEventReference)),
    }
}

/// The line items that have a product. Reads the list a second time. A null item has none.
fn line_items<'a, R: Reader<'a>>(fields: &Fields<R>) -> Result<Vec<LineItem<'a>>, Reject> {
    let span = fields.get(Field::LineItems);
    match span.kind() {
        Kind::Absent | Kind::Null => return Ok(Vec::new()),
        Kind::List => {}
        _ => return Err(Reject::of(Field::LineItems, Reason::NotAList)),
    }
    let mut line_items = Vec::new();
    let mut reader = R::new(&fields.reader.bytes()[span.start()..span.end()])?;
    let mut items = reader.begin()?.members();
    while reader.next_item(&mut items)? {
        let item = reader.begin()?;
        match item.kind() {
            Kind::Map => line_items.extend(line_item(&mut reader, item)?),
            Kind::Null => {}
            _ => return Err(Reject::of(Field::LineItems, Reason::ItemNotAMap)),
        }
    }
    Ok(line_items)
}

/// One line item; `None` if it has no product.
#[inline(never)]
fn line_item<'a, R: Reader<'a>>(
    reader: &mut R,
    item: Span,
) -> Result<Option<LineItem<'a>>, Reject> {
    let mut members = item.members();
    let (mut product, mut own_amount) = (None, None);
    loop {
        let key = reader.next_key(&mut members)?;
        if key.is_absent() {
            break;
        }
        let value = walk::value(reader, ITEM_VALUE_DEPTH)?;
        match &*reader.text(key) {
            "product_id" => product = id_at(reader, value, Field::LineItemProductId)?,
            "amount" => own_amount = amount(reader, value, Field::LineItemAmount)?,
            _ => {}
        }
    }
    Ok(product.map(|product_id| LineItem {
        product_id,
        amount: own_amount,
    }))
}
