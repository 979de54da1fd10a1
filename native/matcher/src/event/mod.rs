//! A decoded event, borrowed from its bytes, and the vocabulary of events.

pub mod amount;
mod field;
pub mod limits;
pub mod loose_time;
mod match_values;
pub mod reject;
pub mod time;
pub mod work;

use std::borrow::Cow;

use uuid::Uuid;

pub use self::field::Field;
pub use self::match_values::{MatchValues, is_match_name};

use arrayvec::ArrayVec;

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

impl<'a> RawData<'a> {
    pub fn bytes(self) -> &'a [u8] {
        match self {
            RawData::MessagePack(bytes) | RawData::Json(bytes) => bytes,
        }
    }
}

/// A line item of a payment.
#[derive(Debug, Clone, PartialEq)]
pub struct LineItem<'a> {
    pub product_id: Text<'a>,
    /// `None` if absent or null.
    pub amount: Option<Amount>,
}

/// A tag in a list of all tags of a contact. It has an id, a name or both.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedTag<'a> {
    /// The position of the item in the list.
    pub index: u32,
    pub tag_id: Option<Text<'a>>,
    pub tag_name: Option<Text<'a>>,
}

/// The state of an appointment (E15).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AppointmentStatus {
    /// Also if the event has no status.
    Booked,
    Confirmed,
    Showed,
    /// Cancelled, moved away or missed: it achieves no goal.
    Lost,
    /// Any other text.
    Other,
}

impl AppointmentStatus {
    /// Reads a status without regard to case, spaces, hyphens and underscores.
    #[must_use]
    #[inline(never)]
    pub fn of(text: &str) -> Self {
        let counts = |byte: &u8| !matches!(byte, b' ' | b'-' | b'_');
        let bytes = text.bytes().filter(counts).take(16);
        let word: ArrayVec<u8, 16> = bytes.map(|byte| byte.to_ascii_lowercase()).collect();
        match &word[..] {
            b"booked" => Self::Booked,
            b"confirmed" => Self::Confirmed,
            b"showed" => Self::Showed,
            b"cancelled" | b"canceled" | b"noshow" | b"rescheduled" | b"rescheduledaway" => {
                Self::Lost
            }
            _ => Self::Other,
        }
    }
}

/// The fields of `data` that goald reads for the event's type. `None` if absent or null.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact<'a> {
    TagAdded {
        tag_id: Option<Text<'a>>,
        tag_name: Option<Text<'a>>,
        /// All tags that the contact has. Only those that it did not have before are added (E16).
        tags: Vec<ListedTag<'a>>,
    },
    PaymentCompleted {
        amount: Option<Amount>,
        currency: Option<Text<'a>>,
        product_id: Option<Text<'a>>,
        /// The line items that have a product.
        line_items: Vec<LineItem<'a>>,
    },
    AppointmentBooked {
        calendar_id: Option<Text<'a>>,
        service_id: Option<Text<'a>>,
        status: AppointmentStatus,
    },
    FormSubmitted {
        form_id: Option<Text<'a>>,
    },
    StageChanged {
        pipeline_id: Option<Text<'a>>,
        stage_id: Option<Text<'a>>,
    },
    /// Money went back.
    PaymentRefunded {
        /// The payment that is refunded.
        payment_id: Option<Text<'a>>,
    },
    AppointmentCancelled {
        appointment_id: Option<Text<'a>>,
    },
    EnrollmentStarted {
        workflow_id: Text<'a>,
        enrollment_id: Text<'a>,
        enrolled_at_us: Option<i64>,
        pending_actions: Option<i32>,
        /// The event that started it, by `event_key`.
        started_by: Option<Uuid>,
        /// The values that its goals may require of events (E17).
        match_values: Option<MatchValues>,
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
    /// The contact is the same person as another one, under whose id it continues (E21).
    ContactMerged {
        into_contact_id: Text<'a>,
    },
    /// The contact was described. The commit reads the data.
    ContactUpdated,
    TagRemoved,
    /// A type that goald does not read. The event is ignored.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndReason {
    Completed,
    Exited,
    Cancelled,
}
