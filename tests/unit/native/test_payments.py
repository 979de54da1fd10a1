"""Purchases are payments above zero, in a currency of any spelling (E13)."""

import json
from decimal import Decimal
from typing import Any

import msgpack
import pytest

from goald import _native
from goald.domain.currencies import CURRENCIES

NOW_US = 1_772_323_200_000_000
GOAL = "0b9c1f0e-3a52-4a52-9d5e-6a7b8c9d0e11"
ABSENT = "absent"


def reason(criteria: dict[str, Any], data: dict[str, Any], *, packed: bool = False) -> str | None:
    """Why a payment does not meet a goal; None if it does."""
    matcher = _native.Matcher()
    goal = {
        "id": GOAL,
        "goal_type": "purchase_made",
        "criteria": json.dumps(criteria),
        "is_active": True,
        "effective_from": 0,
        "created_at": 0,
        "position": 0,
    }
    matcher.update_workflows(
        [{"tenant_id": "acme", "workflow_id": "w", "goal_logic": "any", "is_active": True,
          "goals": [goal]}]
    )  # fmt: skip
    matcher.load(_enrolled())
    event = {
        "id": "pay-1",
        "source": "shop",
        "type": "payment.completed",
        "time": "2026-03-01T00:00:00Z",
        "tenantid": "acme",
        "data": {"contact_id": "ann", **data},
    }
    raw = msgpack.packb(event) if packed else json.dumps(event).encode()
    [enrollment] = json.loads(matcher.explain(raw, NOW_US))["enrollments"]
    found: str | None = enrollment["goals"][0]["reason"]
    return found


def _enrolled() -> bytes:
    from goald.adapters.memory.database import StoredEnrollment, copy_binary

    row = StoredEnrollment(
        "acme", "e-1", "ann", "w", 3, "active", NOW_US - 1_000_000, None, [], None
    )
    return copy_binary([row])


@pytest.mark.parametrize("code", sorted(CURRENCIES))
def test_currency_of_an_event_is_compared_in_any_case(code: str) -> None:
    written = (code, code.lower(), code.title(), code.swapcase(), f" {code.lower()} ", f"{code}\t")
    for text in written:
        assert reason({"currency": code}, {"amount": "5", "currency": text}) is None, text
    for text in (code[:2], f"{code}X", f"{code[0]} {code[1:]}"):
        assert reason({"currency": code}, {"amount": "5", "currency": text}) == "wrong currency"


@pytest.mark.parametrize("packed", [False, True], ids=["json", "msgpack"])
@pytest.mark.parametrize(
    "amount",
    [0, -1, -20.0, 0.0, -0.0, "0", "0.00", "-0", "-20.00", "-0.000000000000000001",
     "0.000000000000000000"],
    ids=str,
)  # fmt: skip
def test_payment_of_zero_or_less_is_no_purchase(amount: Any, packed: bool) -> None:
    for criteria in ({"any_purchase": True}, {"product_id": "p"}, {"currency": "USD"}):
        data = {"amount": amount, "product_id": "p", "currency": "usd"}
        assert reason(criteria, data, packed=packed) == "amount not above zero"


@pytest.mark.parametrize("packed", [False, True], ids=["json", "msgpack"])
@pytest.mark.parametrize("amount", [1, 0.01, "0.000000000000000001", "20", None, ABSENT], ids=str)
def test_payment_above_zero_or_without_an_amount_is_a_purchase(amount: Any, packed: bool) -> None:
    data = {} if amount is ABSENT else {"amount": amount}
    assert reason({"any_purchase": True}, data, packed=packed) is None


@pytest.mark.parametrize("amount", [0, "0.00", "-0"])
def test_minimum_of_zero_takes_a_payment_of_zero(amount: Any) -> None:
    assert reason({"min_amount": 0}, {"amount": amount}) is None
    assert reason({"min_amount": 0}, {"amount": str(Decimal("-0.01"))}) is not None
