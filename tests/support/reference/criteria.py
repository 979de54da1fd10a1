"""Evaluates the criteria of a goal for an event (E2).

Each `*_facts` function reads the fields of one event type, and raises RejectedError if one
has the wrong type. Each `*_met` function compares these fields with the criteria of a goal.
A criterion that is null or false is not set. No event meets criteria in which nothing is
set; a goal cannot be activated with them.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from tests.support.reference import reading
from tests.support.reference.contacts import comparable

# The appointment does not take place, or not at this time (E15).
_NO_APPOINTMENT = ("cancelled", "canceled", "noshow", "rescheduled", "rescheduledaway")

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
    """Read the fields that goals of this type evaluate."""
    return _FACTS[goal_type](data)


def met(goal_type: str, criteria: Criteria, found: Facts) -> bool:
    """Whether every criterion that is set holds."""
    # `same_values` compares what `match` names (E17).
    criteria = {key: value for key, value in criteria.items() if key != "match"}
    required = {key: value for key, value in criteria.items() if is_set(value)}
    return _MET[goal_type](required, found)


def same_values(criteria: Criteria, of_run: dict[str, str], data: dict[str, Any]) -> bool:
    """Whether an enrollment and an event have the same value of each name in `match` (E17)."""
    for name in criteria.get("match") or ():
        own, value = of_run.get(name), reading.comparable(data, name)
        if own is None or value is None or own != value:
            return False
    return True


def is_set(criterion: object) -> bool:
    """0 is set; null and false are not."""
    return criterion is not None and criterion is not False


def _tag_facts(data: dict[str, Any]) -> Facts:
    return {
        "tag_id": reading.optional_id(data, "tag_id"),
        "tag_name": reading.optional_text(data, "tag_name"),
        "tags": reading.tags(data),
    }


def _tag_met(required: Criteria, found: Facts) -> bool:
    given = [(found["tag_id"], found["tag_name"]), *found["tags"]]
    by_case = found.get("by_case", False)
    return any(_is_tag(required, id_, name, by_case) for id_, name in given)


def _is_tag(required: Criteria, id_: str | None, name: str | None, by_case: bool) -> bool:
    if "tag_id" in required and id_ is not None:
        return bool(required["tag_id"] == id_)
    if "tag_name" in required and name is not None:
        return comparable(required["tag_name"], by_case) == comparable(name, by_case)
    return False


def _purchase_facts(data: dict[str, Any]) -> Facts:
    return {
        "product": reading.optional_id(data, "product_id"),
        "items": reading.line_items(data),
        "amount": reading.optional_amount(data, "amount"),
        "currency": reading.optional_text(data, "currency"),
    }


def _purchase_met(required: Criteria, found: Facts) -> bool:
    minimum = Decimal(required["min_amount"]) if "min_amount" in required else None
    if not _is_purchase(found["amount"], minimum):
        return False
    if "any_purchase" in required:
        return True
    if not required.keys() & {"product_id", "min_amount", "currency"}:
        return False
    amounts = [found["amount"]]
    if "product_id" in required:
        product = required["product_id"]
        of_items = [amount for item, amount in found["items"] if item == product]
        if not of_items and found["product"] != product:
            return False
        amounts = [amount for amount in of_items if amount is not None] or amounts
    if minimum is not None and not any(_at_least(amount, minimum) for amount in amounts):
        return False
    return "currency" not in required or _same_currency(required["currency"], found["currency"])


def _is_purchase(amount: Decimal | None, minimum: Decimal | None) -> bool:
    """Whether money came in (E13): more than nothing, or nothing if the goal has the minimum 0."""
    if amount is None:
        return True
    return amount >= 0 if minimum == 0 else amount > 0


def _at_least(amount: Decimal | None, minimum: Decimal) -> bool:
    """An event without an amount meets no minimum, not even 0."""
    return amount is not None and amount >= minimum


def _same_currency(required: str, found: str | None) -> bool:
    if found is None or not found.isascii():
        return False
    return required.upper() == found.strip(" \t\n\r\f").upper()


def _appointment_facts(data: dict[str, Any]) -> Facts:
    ids = {name: reading.optional_id(data, name) for name in ("calendar_id", "service_id")}
    status = reading.optional_text(data, "status")
    # "No-Show" is "noshow".
    word = "booked" if status is None else re.sub("[ _-]", "", status)
    return {**ids, "status": word.lower() if word.isascii() else "other"}


def _appointment_met(required: Criteria, found: Facts) -> bool:
    if found["status"] in _NO_APPOINTMENT:
        return False
    if "any_appointment" in required:
        return True
    names = required.keys() & {"calendar_id", "service_id", "status"}
    return bool(names) and all(required[name] == found[name] for name in names)


def _form_facts(data: dict[str, Any]) -> Facts:
    return {"form_id": reading.optional_id(data, "form_id")}


def _form_met(required: Criteria, found: Facts) -> bool:
    return "form_id" in required and bool(required["form_id"] == found["form_id"])


def _stage_facts(data: dict[str, Any]) -> Facts:
    return {name: reading.optional_id(data, name) for name in ("pipeline_id", "stage_id")}


def _stage_met(required: Criteria, found: Facts) -> bool:
    if "stage_id" not in required or required["stage_id"] != found["stage_id"]:
        return False
    # For an event without a pipeline, only the stage is compared.
    if "pipeline_id" not in required or found["pipeline_id"] is None:
        return True
    return bool(required["pipeline_id"] == found["pipeline_id"])


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
