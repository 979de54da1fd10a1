//! The attributes and fields that goald reads, and the look-up of their names.

/// An attribute of the envelope, or a field of `data`, that goald reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Field {
    Id,
    Source,
    Type,
    Time,
    TenantId,
    Data,
    SpecVersion,
    TraceParent,
    ContactId,
    TagId,
    TagName,
    Tags,
    Amount,
    Currency,
    ProductId,
    LineItems,
    PaymentId,
    Status,
    AppointmentId,
    CalendarId,
    ServiceId,
    FormId,
    PipelineId,
    StageId,
    WorkflowId,
    EnrollmentId,
    EnrolledAt,
    PendingActions,
    StartedBy,
    Match,
    Reason,
    IntoContactId,
    CancelledActions,
    LineItemProductId,
    LineItemAmount,
    ListedTagId,
    ListedTagName,
}

impl Field {
    /// The attributes and fields of an event; those of items of lists are not among them.
    pub(crate) const COUNT: usize = Self::CancelledActions as usize + 1;

    /// The attribute with this name. Branches on the length first, then compares at most twice.
    #[inline]
    pub(crate) fn of_envelope(name: &[u8]) -> Option<Self> {
        Some(match name.len() {
            2 if name == b"id" => Self::Id,
            4 if name == b"type" => Self::Type,
            4 if name == b"time" => Self::Time,
            4 if name == b"data" => Self::Data,
            6 if name == b"source" => Self::Source,
            8 if name == b"tenantid" => Self::TenantId,
            11 if name == b"specversion" => Self::SpecVersion,
            11 if name == b"traceparent" => Self::TraceParent,
            _ => return None,
        })
    }

    /// The field of `data` with this name.
    #[inline]
    pub(crate) fn of_data(name: &[u8]) -> Option<Self> {
        Some(match name.len() {
            4 if name == b"tags" => Self::Tags,
            5 if name == b"match" => Self::Match,
            6 if name == b"tag_id" => Self::TagId,
            6 if name == b"amount" => Self::Amount,
            6 if name == b"reason" => Self::Reason,
            6 if name == b"status" => Self::Status,
            7 if name == b"form_id" => Self::FormId,
            8 if name == b"tag_name" => Self::TagName,
            8 if name == b"currency" => Self::Currency,
            8 if name == b"stage_id" => Self::StageId,
            10 if name == b"contact_id" => Self::ContactId,
            10 if name == b"product_id" => Self::ProductId,
            10 if name == b"line_items" => Self::LineItems,
            10 if name == b"service_id" => Self::ServiceId,
            10 if name == b"payment_id" => Self::PaymentId,
            10 if name == b"started_by" => Self::StartedBy,
            11 if name == b"calendar_id" => Self::CalendarId,
            11 if name == b"pipeline_id" => Self::PipelineId,
            11 if name == b"workflow_id" => Self::WorkflowId,
            11 if name == b"enrolled_at" => Self::EnrolledAt,
            13 if name == b"enrollment_id" => Self::EnrollmentId,
            14 if name == b"appointment_id" => Self::AppointmentId,
            15 if name == b"into_contact_id" => Self::IntoContactId,
            15 if name == b"pending_actions" => Self::PendingActions,
            17 if name == b"cancelled_actions" => Self::CancelledActions,
            _ => return None,
        })
    }

    /// The path in the event, such as `tenantid` or `data.amount`.
    #[must_use]
    pub fn path(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Source => "source",
            Self::Type => "type",
            Self::Time => "time",
            Self::TenantId => "tenantid",
            Self::Data => "data",
            Self::SpecVersion => "specversion",
            Self::TraceParent => "traceparent",
            Self::ContactId => "data.contact_id",
            Self::IntoContactId => "data.into_contact_id",
            Self::TagId => "data.tag_id",
            Self::TagName => "data.tag_name",
            Self::Tags => "data.tags",
            Self::ListedTagId => "data.tags[].tag_id",
            Self::ListedTagName => "data.tags[].tag_name",
            Self::Amount => "data.amount",
            Self::Currency => "data.currency",
            Self::ProductId => "data.product_id",
            Self::LineItems => "data.line_items",
            Self::PaymentId => "data.payment_id",
            Self::Status => "data.status",
            Self::AppointmentId => "data.appointment_id",
            Self::LineItemProductId => "data.line_items[].product_id",
            Self::LineItemAmount => "data.line_items[].amount",
            Self::CalendarId => "data.calendar_id",
            Self::ServiceId => "data.service_id",
            Self::FormId => "data.form_id",
            Self::PipelineId => "data.pipeline_id",
            Self::StageId => "data.stage_id",
            Self::WorkflowId => "data.workflow_id",
            Self::EnrollmentId => "data.enrollment_id",
            Self::EnrolledAt => "data.enrolled_at",
            Self::PendingActions => "data.pending_actions",
            Self::StartedBy => "data.started_by",
            Self::Match => "data.match",
            Self::Reason => "data.reason",
            Self::CancelledActions => "data.cancelled_actions",
        }
    }
}
