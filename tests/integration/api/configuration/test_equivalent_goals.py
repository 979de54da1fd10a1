"""Goals that match the same events with differently written criteria (E2)."""

import pytest
from tests.support.api.client import Api

GOALS = "/api/v1/workflows/w/goals"


@pytest.mark.parametrize(
    ("goal_type", "first", "second"),
    [
        ("tag_added", '{"tag_name": "caf\u00e9"}', '{"tag_name": "cafe\u0301"}'),
        ("purchase_made", '{"min_amount": 100}', '{"min_amount": 100.00}'),
        ("purchase_made", '{"min_amount": "100"}', '{"min_amount": 1e2}'),
        (
            "purchase_made",
            '{"min_amount": 5, "currency": "EUR"}',
            '{"currency": "EUR", "product_id": null, "min_amount": 5.0}',
        ),
    ],
    ids=["composed characters", "zeros", "text and exponent", "order and null"],
)
def test_a_goal_cannot_be_had_twice_by_another_spelling(
    api: Api, goal_type: str, first: str, second: str
) -> None:
    client = api.client("acme")
    client.put("/api/v1/workflows/w", json={})
    answers = [
        client.post(
            GOALS,
            content=f'{{"goal_type": "{goal_type}", "criteria": {criteria}}}'.encode(),
            headers={"content-type": "application/json"},
        )
        for criteria in (first, second)
    ]
    assert [answer.status_code for answer in answers] == [201, 409]
