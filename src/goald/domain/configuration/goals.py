"""Goal types: the event type that each listens to, and the catalog kinds."""

from typing import Final, Literal

GoalType = Literal[
    "tag_added", "purchase_made", "appointment_booked", "form_submitted", "pipeline_stage_reached"
]
GoalLogic = Literal["any", "all"]
CatalogKind = Literal["tag", "form", "calendar", "service", "pipeline", "stage", "product"]

LISTENS_TO: Final[dict[GoalType, str]] = {
    "tag_added": "contact.tag.added",
    "purchase_made": "payment.completed",
    "appointment_booked": "appointment.booked",
    "form_submitted": "form.submitted",
    "pipeline_stage_reached": "pipeline.stage.changed",
}
"""The event type that achieves each goal type."""

TYPE_BITS: Final[dict[GoalType, int]] = {
    "tag_added": 1,
    "purchase_made": 2,
    "appointment_booked": 4,
    "form_submitted": 8,
    "pipeline_stage_reached": 16,
}
"""The bit of each goal type in an enrollment's `met_types`. The bits are stored
(goald.goal_type_bit) and must never change."""

MAX_GOALS: Final = 3
"""Goals per workflow, deleted goals excluded."""
TOO_MANY_GOALS: Final = "Maximum of 3 goals per workflow exceeded"
