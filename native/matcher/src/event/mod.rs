//! An event as the engine sees it: borrowed from the bytes it came in.

pub mod amount;
mod field;
pub mod limits;
pub mod reject;
pub mod time;

use std::borrow::Cow;

pub use self::field::Field;

use self::amount::Amount;

/// Text of an event: borrowed where the bytes hold it as it is, owned where JSON escaped it.
pub type Text<'a> = Cow<'a, str>;

/// Where an event came from and what it says. Everything here has been checked against the
/// limits of D9; `data` is the raw value, kept so that it can be stored if a goal is met.
#[derive(Debug, Clone, PartialEq)]
pub struct Event<'a> {
    pub id: Text<'a>,
    pub source: Text<'a>,
    /// The CloudEvents `type`, as sent.
    pub name: Text<'a>,
    pub tenant: Text<'a>,
    pub contact: Text<'a>,
    /// When it happened, in microseconds since the epoch.
    pub time_us: i64,
    /// `time` as it was sent.
    pub time: Text<'a>,
    pub traceparent: Option<Text<'a>>,
    pub fact: Fact<'a>,
    pub data: RawData<'a>,
}

/// The bytes of the `data` map, in the encoding they came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RawData<'a> {
    MessagePack(&'a [u8]),
    Json(&'a [u8]),
}

/// What happened, with the fields that its type reads. Absent and null are both `None`.
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
        /// `line_items[].product_id`, those that have one.
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
    /// A type that goald does not read: passed over.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    Completed,
    Exited,
    Cancelled,
}
