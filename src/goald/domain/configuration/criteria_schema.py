"""The criteria of each goal type as JSON Schema, from which an editor can render a form. The
schema accepts exactly what `criteria.read_criteria` accepts."""

from typing import Any, Final, get_args

from goald.domain.configuration.criteria import (
    MATCH,
    MATCH_NAME_PATTERN,
    MATCH_NAMES,
    AppointmentStatus,
)
from goald.domain.configuration.goals import GoalType
from goald.domain.currencies import CURRENCIES

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PRINTABLE = "^(?!.*[\\u0000-\\u001f\\u007f-\\u009f]).*$"
_AMOUNT = "^(?=0*(?:\\.?[0-9]){1,18}$)[0-9]+(\\.[0-9]+)?$"
_NOT_SET: Final[dict[str, Any]] = {"enum": [None, False]}
_GREATEST_AMOUNT = 999_999_999_999_999_999


def _text(title: str, description: str, longest: int = 256) -> dict[str, Any]:
    return {
        "title": title,
        "description": description,
        "type": ["string", "null", "boolean"],
        "not": {"const": True},
        "minLength": 1,
        "maxLength": longest,
        "pattern": _PRINTABLE,
    }


def _required(field: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in field.items() if name != "not"}
    return kept | {"type": "string"}


def _flag(title: str, description: str) -> dict[str, Any]:
    return {"title": title, "description": description, "type": ["boolean", "null"]}


def _is_set(name: str, *types: str) -> dict[str, Any]:
    return {"required": [name], "properties": {name: {"type": list(types) or "string"}}}


def _any_or(flag: str, title: str, otherwise: dict[str, Any]) -> dict[str, Any]:
    """Either the flag alone, or other criteria without the flag."""
    others = {name: _NOT_SET for option in otherwise["anyOf"] for name in option["required"]}
    return {
        "oneOf": [
            {"title": title, "required": [flag], "properties": {flag: {"const": True}, **others}},
            otherwise | {"properties": {flag: _NOT_SET}},
        ]
    }


_AMOUNT_FIELD: Final = {
    "title": "Minimum amount",
    "description": "The purchase has at least this amount: at most 18 digits. A number, or a "
    "decimal string if a number would lose digits. Compared with the amount of the matching line "
    "item, if the goal has a product and the item an amount. 0 accepts free purchases too.",
    "anyOf": [
        {"type": "number", "minimum": 0, "maximum": _GREATEST_AMOUNT},
        {"type": "string", "pattern": _AMOUNT},
        _NOT_SET,
    ],
    "examples": [100.00, "99.50"],
}


def _any_case(code: str) -> str:
    return "".join(f"[{upper}{upper.lower()}]" for upper in code)


_CURRENCY_FIELD: Final = {
    "title": "Currency",
    "description": "The currency of the purchase: an ISO 4217 code, such as USD. Compared with the "
    "event's `currency` without regard to case.",
    "anyOf": [
        {
            "type": "string",
            "pattern": f"^({'|'.join(map(_any_case, sorted(CURRENCIES)))})$",
            "maxLength": 3,
        },
        _NOT_SET,
    ],
    "examples": ["USD", "EUR"],
}

_MATCH_FIELD: Final = {
    "title": "Values of the enrollment",
    "description": "Names of fields that the event's `data` must have in common with the "
    "enrollment's `match`, such as cart_id: of two enrollments for two carts, a payment completes "
    "the one of its cart.",
    "anyOf": [
        {
            "type": "array",
            "items": {"type": "string", "pattern": MATCH_NAME_PATTERN},
            "minItems": 1,
            "maxItems": MATCH_NAMES,
        },
        _NOT_SET,
    ],
    "examples": [["cart_id"]],
}

_SCHEMAS: Final[dict[GoalType, dict[str, Any]]] = {
    "tag_added": {
        "title": "Tag added",
        "description": "The contact receives a tag.",
        "properties": {
            "tag_id": _text("Tag", "The id of the tag. Compared if the event has a tag id."),
            "tag_name": _text("Tag name", "Compared if the goal or the event has no tag id.", 255),
        },
        "anyOf": [_is_set("tag_id"), _is_set("tag_name")],
    },
    "purchase_made": {
        "title": "Purchase made",
        "description": "The contact completes a purchase.",
        "properties": {
            "product_id": _text("Product", "The id of a purchased product."),
            "min_amount": _AMOUNT_FIELD,
            "currency": _CURRENCY_FIELD,
            "any_purchase": _flag("Any purchase", "Matches every purchase. No other criteria."),
        },
        **_any_or(
            "any_purchase",
            "Any purchase",
            {
                "title": "Specific purchases",
                "anyOf": [
                    _is_set("product_id"),
                    _is_set("min_amount", "number", "string"),
                    _is_set("currency"),
                ],
            },
        ),
    },
    "appointment_booked": {
        "title": "Appointment booked",
        "description": "The contact books an appointment.",
        "properties": {
            "calendar_id": _text("Calendar", "The id of the calendar of the appointment."),
            "service_id": _text("Service", "The id of the booked service."),
            "status": {
                "title": "Status",
                "description": "The status of the appointment. Without a status it is booked.",
                "enum": [*get_args(AppointmentStatus), None, False],
            },
            "any_appointment": _flag(
                "Any appointment", "Matches every appointment. No other criteria."
            ),
        },
        **_any_or(
            "any_appointment",
            "Any appointment",
            {
                "title": "Specific appointments",
                "anyOf": [_is_set("calendar_id"), _is_set("service_id"), _is_set("status")],
            },
        ),
    },
    "form_submitted": {
        "title": "Form submitted",
        "description": "The contact submits a form.",
        "properties": {"form_id": _required(_text("Form", "The id of the form."))},
        "required": ["form_id"],
    },
    "pipeline_stage_reached": {
        "title": "Pipeline stage reached",
        "description": "The contact reaches a stage of a pipeline.",
        "properties": {
            "stage_id": _required(_text("Stage", "The id of the stage.")),
            "pipeline_id": _text("Pipeline", "Compared if the event has a pipeline id."),
        },
        "required": ["stage_id"],
    },
}


def criteria_schema(goal_type: GoalType) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a goal type's criteria. A criterion that is null or false
    is not set."""
    schema = _SCHEMAS[goal_type]
    properties = schema["properties"] | {MATCH: _MATCH_FIELD}
    return {"type": "object", "additionalProperties": False, **schema, "properties": properties}
