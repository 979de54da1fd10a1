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

HAS_STATE: Final[frozenset[GoalType]] = frozenset({"tag_added", "pipeline_stage_reached"})
"""The goal types that a state of the contact can meet: a tag that it has, a stage that it is in
(E22)."""
NO_STATE: Final = (
    "check_on_enrollment: only goals of the types tag_added and pipeline_stage_reached can be "
    "checked on enrollment, because goald keeps the tags and the stages of contacts only"
)

LONGEST_WINDOW: Final = 31_536_000
"""The longest `conversion_window` in seconds: 365 days (E18)."""

MAX_GOALS: Final = 3
"""Goals per workflow, deleted goals excluded."""
TOO_MANY_GOALS: Final = "Maximum of 3 goals per workflow exceeded"
