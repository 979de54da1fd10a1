//! The attributes and fields that goald reads, and how they are told by name.

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
    Amount,
    Currency,
    ProductId,
    LineItems,
    LineItemProductId,
    CalendarId,
    ServiceId,
    FormId,
    PipelineId,
    StageId,
    WorkflowId,
    EnrollmentId,
    EnrolledAt,
    PendingActions,
    Reason,
    CancelledActions,
}

impl Field {
    pub(crate) const COUNT: usize = Self::CancelledActions as usize + 1;

    /// The attribute of this name. A comparison of lengths, then of bytes.
    #[inline]
    pub(crate) fn of_envelope(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"id" => Self::Id,
            b"type" => Self::Type,
            b"time" => Self::Time,
            b"data" => Self::Data,
            b"source" => Self::Source,
            b"tenantid" => Self::TenantId,
            b"specversion" => Self::SpecVersion,
            b"traceparent" => Self::TraceParent,
            _ => return None,
        })
    }

    /// The field of `data` of this name.
    #[inline]
    pub(crate) fn of_data(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"tag_id" => Self::TagId,
            b"amount" => Self::Amount,
            b"reason" => Self::Reason,
            b"form_id" => Self::FormId,
            b"tag_name" => Self::TagName,
            b"currency" => Self::Currency,
            b"stage_id" => Self::StageId,
            b"contact_id" => Self::ContactId,
            b"product_id" => Self::ProductId,
            b"line_items" => Self::LineItems,
            b"service_id" => Self::ServiceId,
            b"calendar_id" => Self::CalendarId,
            b"pipeline_id" => Self::PipelineId,
            b"workflow_id" => Self::WorkflowId,
            b"enrolled_at" => Self::EnrolledAt,
            b"enrollment_id" => Self::EnrollmentId,
            b"pending_actions" => Self::PendingActions,
            b"cancelled_actions" => Self::CancelledActions,
            _ => return None,
        })
    }

    /// The name as a producer knows it: `tenantid`, `data.amount`.
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
            Self::TagId => "data.tag_id",
            Self::TagName => "data.tag_name",
            Self::Amount => "data.amount",
            Self::Currency => "data.currency",
            Self::ProductId => "data.product_id",
            Self::LineItems => "data.line_items",
            Self::LineItemProductId => "data.line_items[].product_id",
            Self::CalendarId => "data.calendar_id",
            Self::ServiceId => "data.service_id",
            Self::FormId => "data.form_id",
            Self::PipelineId => "data.pipeline_id",
            Self::StageId => "data.stage_id",
            Self::WorkflowId => "data.workflow_id",
            Self::EnrollmentId => "data.enrollment_id",
            Self::EnrolledAt => "data.enrolled_at",
            Self::PendingActions => "data.pending_actions",
            Self::Reason => "data.reason",
            Self::CancelledActions => "data.cancelled_actions",
        }
    }
}
