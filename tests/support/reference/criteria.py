"""Whether what an event carries is what a goal asks for (rule E2).

Each `*_facts` function reads the fields of one event type, and raises RejectedError where
one is of the wrong type; each `*_met` holds what was read against a goal's criteria. A
criterion that is null or false is not set. Criteria in which nothing is set, which no
goal may be activated with (R13), are met by nothing.
"""

import unicodedata
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from tests.support.reference import reading

Criteria = dict[str, Any]
Facts = dict[str, Any]

GOAL_TYPE_OF_EVENT = {
    "contact.tag.added": "tag_added",
    "payment.completed": "purchase_made",
    "appointment.booked": "appointment_booked",
    "form.submitted": "form_submitted",
    "pipeline.stage.changed": "pipeline_stage_reached",
}


def facts(goal_type: str, data: dict[str, Any]) -> Facts:
    """Read what goals of this type look at."""
    return _FACTS[goal_type](data)


def met(goal_type: str, criteria: Criteria, found: Facts) -> bool:
    """Whether every criterion that is set holds."""
    wanted = {key: value for key, value in criteria.items() if is_set(value)}
    return _MET[goal_type](wanted, found)


def is_set(criterion: object) -> bool:
    """0 is set; null and false are not."""
    return criterion is not None and criterion is not False


def _tag_facts(data: dict[str, Any]) -> Facts:
    return {
        "tag_id": reading.optional_id(data, "tag_id"),
        "tag_name": reading.optional_text(data, "tag_name"),
    }


def _tag_met(wanted: Criteria, found: Facts) -> bool:
    if "tag_id" in wanted and found["tag_id"] is not None:
        return bool(wanted["tag_id"] == found["tag_id"])
    if "tag_name" in wanted and found["tag_name"] is not None:
        return _composed(wanted["tag_name"]) == _composed(found["tag_name"])
    return False


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _purchase_facts(data: dict[str, Any]) -> Facts:
    products = reading.line_item_products(data)
    single = reading.optional_id(data, "product_id")
    if single is not None:
        products.append(single)
    return {
        "products": products,
        "amount": reading.optional_amount(data, "amount"),
        "currency": reading.optional_text(data, "currency"),
    }


def _purchase_met(wanted: Criteria, found: Facts) -> bool:
    if "any_purchase" in wanted:
        return True
    if not wanted.keys() & {"product_id", "min_amount", "currency"}:
        return False
    if "product_id" in wanted and wanted["product_id"] not in found["products"]:
        return False
    if "min_amount" in wanted and not _at_least(found["amount"], wanted["min_amount"]):
        return False
    return not ("currency" in wanted and wanted["currency"] != found["currency"])


def _at_least(amount: Decimal | None, minimum: str | int) -> bool:
    """An event without an amount reaches no minimum, not even 0."""
    return amount is not None and amount >= Decimal(minimum)


def _appointment_facts(data: dict[str, Any]) -> Facts:
    return {name: reading.optional_id(data, name) for name in ("calendar_id", "service_id")}


def _appointment_met(wanted: Criteria, found: Facts) -> bool:
    if "any_appointment" in wanted:
        return True
    asked = wanted.keys() & {"calendar_id", "service_id"}
    return bool(asked) and all(wanted[name] == found[name] for name in asked)


def _form_facts(data: dict[str, Any]) -> Facts:
    return {"form_id": reading.optional_id(data, "form_id")}


def _form_met(wanted: Criteria, found: Facts) -> bool:
    return "form_id" in wanted and bool(wanted["form_id"] == found["form_id"])


def _stage_facts(data: dict[str, Any]) -> Facts:
    return {name: reading.optional_id(data, name) for name in ("pipeline_id", "stage_id")}


def _stage_met(wanted: Criteria, found: Facts) -> bool:
    if "stage_id" not in wanted or wanted["stage_id"] != found["stage_id"]:
        return False
    # An event that names no pipeline is judged by its stage alone.
    if "pipeline_id" not in wanted or found["pipeline_id"] is None:
        return True
    return bool(wanted["pipeline_id"] == found["pipeline_id"])


_FACTS: dict[str, Callable[[dict[str, Any]], Facts]] = {
    "tag_added": _tag_facts,
    "purchase_made": _purchase_facts,
    "appointment_booked": _appointment_facts,
    "form_submitted": _form_facts,
    "pipeline_stage_reached": _stage_facts,
}
_MET: dict[str, Callable[[Criteria, Facts], bool]] = {
    "tag_added": _tag_met,
    "purchase_made": _purchase_met,
    "appointment_booked": _appointment_met,
    "form_submitted": _form_met,
    "pipeline_stage_reached": _stage_met,
}
