"""Fields of events and criteria of goals (E2) in the reference model,
against examples worked out by hand."""

from decimal import Decimal
from typing import Any

import pytest
from tests.support.reference import Goal
from tests.support.reference.amounts import InvalidAmountError, exact
from tests.support.reference.by_hand import event, tag, watching


def meets(goal_type: str, criteria: dict[str, Any], kind: str, **data: Any) -> bool:
    return bool(watching(Goal("g", goal_type, criteria)).feed(event(kind, **data)).exited)


@pytest.mark.parametrize(
    ("criteria", "data", "expected"),
    [
        ({"tag_id": "t"}, {"tag_id": "t"}, True),
        ({"tag_id": "t", "tag_name": "A"}, {"tag_id": "u", "tag_name": "A"}, False),
        ({"tag_id": "t", "tag_name": "A"}, {"tag_name": "A"}, True),
        ({"tag_name": "A"}, {"tag_id": "t", "tag_name": "A"}, True),
        ({"tag_id": "t"}, {"tag_name": "A"}, False),
        ({"tag_name": "A"}, {"tag_name": " a"}, True),
        ({"tag_name": "A"}, {"tag_name": "b"}, False),
        ({"tag_name": "caf\u00e9"}, {"tag_name": "cafe\u0301"}, True),
        ({"tag_id": "caf\u00e9"}, {"tag_id": "cafe\u0301"}, False),
        ({"tag_id": None, "tag_name": "A"}, {"tag_id": "t", "tag_name": "A"}, True),
        ({"tag_name": "A"}, {"tag_id": None, "tag_name": None}, False),
        ({}, {"tag_id": "t"}, False),
    ],
)
def test_a_tag_is_compared_by_id_if_both_have_one_else_by_name(
    criteria: dict[str, Any], data: dict[str, Any], expected: bool
) -> None:
    assert meets("tag_added", criteria, "contact.tag.added", **data) is expected


@pytest.mark.parametrize(
    ("criteria", "data", "expected"),
    [
        ({"any_purchase": True}, {}, True),
        ({"any_purchase": False}, {"amount": 5}, False),
        ({"any_purchase": False, "min_amount": 5}, {"amount": 5}, True),
        ({"min_amount": "49.90"}, {"amount": "49.9"}, True),
        ({"min_amount": "49.90"}, {"amount": "49.89999"}, False),
        ({"min_amount": "49.90"}, {"amount": 49.89996}, True),
        ({"min_amount": 0}, {}, False),
        ({"min_amount": 0}, {"amount": "-0"}, True),
        ({"min_amount": 0}, {"amount": "-0.01"}, False),
        ({"product_id": "p"}, {"product_id": "p"}, True),
        ({"product_id": "p"}, {"line_items": [{"product_id": "q"}, {"product_id": "p"}]}, True),
        ({"product_id": "p"}, {"product_id": "q", "line_items": [{"product_id": "p"}]}, True),
        ({"product_id": "p"}, {"line_items": [{}, {"product_id": None}, None]}, False),
        ({"product_id": "p", "min_amount": 10}, {"product_id": "p", "amount": 9}, False),
        ({"product_id": "p", "min_amount": 10},
         {"amount": 50, "line_items": [{"product_id": "p", "amount": 9}]}, False),
        ({"product_id": "p", "min_amount": 10},
         {"amount": 5, "line_items": [{"product_id": "p", "amount": "10.0"}]}, True),
        ({"product_id": "p", "min_amount": 10},
         {"amount": 10, "line_items": [{"product_id": "p"}, {"product_id": "q", "amount": 5}]},
         True),
        ({"product_id": "p", "min_amount": 10},
         {"amount": 10, "product_id": "p", "line_items": [{"product_id": "p", "amount": 5}]},
         False),
        ({"any_purchase": True}, {"amount": None}, True),
        ({"any_purchase": True}, {"amount": 0}, False),
        ({"any_purchase": True}, {"amount": "-20.00"}, False),
        ({"any_purchase": True}, {"amount": 0.00004}, False),
        ({"product_id": "p"}, {"product_id": "p", "amount": "0.00"}, False),
        ({"product_id": "p", "min_amount": 0}, {"product_id": "p", "amount": "0.00"}, True),
        ({"min_amount": 10, "currency": "EUR"}, {"amount": 10, "currency": "EUR"}, True),
        ({"min_amount": 10, "currency": "EUR"}, {"amount": 10, "currency": "eur"}, True),
        ({"currency": "eur"}, {"currency": " Eur\n"}, True),
        ({"currency": "EUR"}, {"currency": "EURO"}, False),
        ({"currency": "USD"}, {"currency": "u\u017fd"}, False),
        ({"min_amount": 10, "currency": "EUR"}, {"amount": 10}, False),
        ({"currency": "EUR"}, {"currency": "EUR"}, True),
    ],
)  # fmt: skip
def test_a_purchase_meets_every_criterion_that_is_set(
    criteria: dict[str, Any], data: dict[str, Any], expected: bool
) -> None:
    assert meets("purchase_made", criteria, "payment.completed", **data) is expected


@pytest.mark.parametrize(
    ("kind", "goal_type", "criteria", "data", "expected"),
    [
        ("appointment.booked", "appointment_booked", {"any_appointment": True}, {}, True),
        ("appointment.booked", "appointment_booked", {"calendar_id": "k"},
         {"calendar_id": "k", "service_id": "s"}, True),
        ("appointment.booked", "appointment_booked", {"calendar_id": "k", "service_id": "s"},
         {"calendar_id": "k"}, False),
        ("appointment.booked", "appointment_booked", {"any_appointment": True},
         {"status": "no-show"}, False),
        ("appointment.booked", "appointment_booked", {"any_appointment": True},
         {"status": "pending"}, True),
        ("appointment.booked", "appointment_booked", {"calendar_id": "k"},
         {"calendar_id": "k", "status": "CANCELED"}, False),
        ("appointment.booked", "appointment_booked", {"status": "confirmed"},
         {"status": "Confirmed"}, True),
        ("appointment.booked", "appointment_booked", {"status": "booked"}, {}, True),
        ("appointment.booked", "appointment_booked", {"status": "showed"}, {}, False),
        ("appointment.cancelled", "appointment_booked", {"any_appointment": True}, {}, False),
        ("payment.refunded", "purchase_made", {"any_purchase": True}, {"amount": 5}, False),
        ("form.submitted", "form_submitted", {"form_id": "f"}, {"form_id": "f"}, True),
        ("form.submitted", "form_submitted", {"form_id": "f"}, {"form_id": "F"}, False),
        ("pipeline.stage.changed", "pipeline_stage_reached", {"pipeline_id": "p", "stage_id": "s"},
         {"stage_id": "s"}, True),
        ("pipeline.stage.changed", "pipeline_stage_reached", {"pipeline_id": "p", "stage_id": "s"},
         {"pipeline_id": "q", "stage_id": "s"}, False),
        ("pipeline.stage.changed", "pipeline_stage_reached", {"stage_id": "s"},
         {"pipeline_id": "q", "stage_id": "s"}, True),
        ("pipeline.stage.changed", "pipeline_stage_reached", {"pipeline_id": "p", "stage_id": "s"},
         {"pipeline_id": "p"}, False),
    ],
)  # fmt: skip
def test_appointments_forms_and_stages_compare_their_ids(
    kind: str, goal_type: str, criteria: dict[str, Any], data: dict[str, Any], expected: bool
) -> None:
    assert meets(goal_type, criteria, kind, **data) is expected


@pytest.mark.parametrize(
    ("written", "worth"),
    [
        (10, "10"),
        ("007.50", "7.50"),
        ("123456789012345678", "123456789012345678"),
        ("000123456789012345678", "123456789012345678"),
        ("0.00000000000000000001", "1e-20"),
        (0.00005, "0"),
        (0.00015, "0.0002"),
        (2.5e-05, "0"),
        (1e17, "100000000000000000"),
        (-1.00005, "-1"),
        (12345678901234.568, "12345678901234.568"),
    ],
)
def test_an_amount_is_exact_and_a_float_is_rounded_half_even_to_four_decimals(
    written: object, worth: str
) -> None:
    assert exact(written) == Decimal(worth)


@pytest.mark.parametrize(
    "written",
    [
        "", "-", "1.", ".5", "+1", " 1", "1 ", "1e3", "1_000", "\uff11", "\u0661", "NaN", "1,5",
        "1234567890123456789", "1234567890123456.789", "1.000000000000000000", 10**18, 1e18,
        float("nan"), float("inf"), True, [], {}, b"1",
    ],
)  # fmt: skip
def test_an_invalid_amount_or_more_than_eighteen_digits_is_refused(written: object) -> None:
    with pytest.raises(InvalidAmountError):
        exact(written)
    assert watching().feed(event("payment.completed", amount=written)).rejected == "amount"


@pytest.mark.parametrize(
    ("kind", "data", "category"),
    [
        ("contact.tag.added", {"tag_id": 5.5}, "field"),
        ("contact.tag.added", {"tag_id": ""}, "id"),
        ("contact.tag.added", {"tag_name": []}, "field"),
        ("contact.tag.added", {"contact_id": "c" * 257}, "id"),
        ("contact.tag.added", {"contact_id": None}, "field"),
        ("contact.deleted", {"contact_id": "c\u0085"}, "id"),
        ("payment.completed", {"line_items": {}}, "field"),
        ("payment.completed", {"line_items": ["p"]}, "field"),
        ("payment.completed", {"currency": 978}, "field"),
        ("workflow.enrollment.started", {"workflow_id": "w"}, "field"),
        ("workflow.enrollment.started",
         {"workflow_id": "w", "enrollment_id": "e", "pending_actions": -1}, "field"),
        ("workflow.enrollment.started",
         {"workflow_id": "w", "enrollment_id": "e", "enrolled_at": "yesterday"}, "time"),
        ("workflow.enrollment.ended",
         {"workflow_id": "w", "enrollment_id": "e", "reason": "bored"}, "field"),
        ("workflow.exit.acknowledged",
         {"workflow_id": "w", "enrollment_id": "e", "cancelled_actions": True}, "field"),
    ],
)  # fmt: skip
def test_a_field_of_the_wrong_type_is_refused(
    kind: str, data: dict[str, Any], category: str
) -> None:
    assert watching().feed(event(kind, **data)).rejected == category


@pytest.mark.parametrize(
    ("change", "category"),
    [
        ({"id": None}, "envelope"),
        ({"source": 5.5}, "envelope"),
        ({"type": ""}, "envelope"),
        ({"specversion": "2.0"}, "envelope"),
        ({"data": None}, "envelope"),
        ({"tenantid": None}, "envelope"),
        ({"time": "2026-03-01T00:00:00"}, "time"),
        ({"time": "2026-02-29T00:00:00Z"}, "time"),
        ({"time": "2026-03-01T00:00:00+24:00"}, "time"),
        ({"time": 99_999_999}, "time"),
    ],
)
def test_an_envelope_that_breaks_the_contract_is_refused(
    change: dict[str, Any], category: str
) -> None:
    assert watching().feed(tag("t") | change).rejected == category
