//! A decoded event, borrowed from its bytes, and the vocabulary of events.

pub mod amount;
mod field;
pub mod limits;
pub mod reject;
pub mod time;
pub mod work;

use std::borrow::Cow;

pub use self::field::Field;

use self::amount::Amount;

/// Text of an event: borrowed from its bytes, or owned if it had JSON escapes.
pub type Text<'a> = Cow<'a, str>;

/// An event within the limits (D9). `data` is the raw value, which is stored if the event meets
/// a goal.
#[derive(Debug, Clone, PartialEq)]
pub struct Event<'a> {
    pub id: Text<'a>,
    pub source: Text<'a>,
    /// The CloudEvents `type`.
    pub name: Text<'a>,
    pub tenant: Text<'a>,
    pub contact: Text<'a>,
    /// The parsed `time`, in microseconds since the epoch.
    pub time_us: i64,
    /// The original text of `time`.
    pub time: Text<'a>,
    pub traceparent: Option<Text<'a>>,
    pub fact: Fact<'a>,
    pub data: RawData<'a>,
}

/// The bytes of the `data` map, in the encoding of the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RawData<'a> {
    MessagePack(&'a [u8]),
    Json(&'a [u8]),
}

/// The fields of `data` that goald reads for the event's type. `None` if absent or null.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact<'a> {
    TagAdded {
        tag_id: Option<Text<'a>>,
        tag_name: Option<Text<'a>>,
    },
    PaymentCompleted {
        amount: Option<Amount>,
        currency: Option<Text<'a>>,
        product_id: Option<Text<'a>>,
        /// The `product_id` of each line item that has one.
        line_items: Vec<Text<'a>>,
    },
    AppointmentBooked {
        calendar_id: Option<Text<'a>>,
        service_id: Option<Text<'a>>,
    },
    FormSubmitted {
        form_id: Option<Text<'a>>,
    },
    StageChanged {
        pipeline_id: Option<Text<'a>>,
        stage_id: Option<Text<'a>>,
    },
    EnrollmentStarted {
        workflow_id: Text<'a>,
        enrollment_id: Text<'a>,
        enrolled_at_us: Option<i64>,
        pending_actions: Option<i32>,
    },
    EnrollmentEnded {
        workflow_id: Text<'a>,
        enrollment_id: Text<'a>,
        reason: EndReason,
    },
    ExitAcknowledged {
        workflow_id: Text<'a>,
        enrollment_id: Text<'a>,
        cancelled_actions: Option<i32>,
    },
    ContactDeleted,
    /// A type that goald does not read. The event is ignored.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    Completed,
    Exited,
    Cancelled,
}
