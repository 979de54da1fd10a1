"""Fields that goald does not read refuse no event (E14)."""

import json
from typing import Any

import httpx
import pytest
import redis
from tests.support.api.client import Api
from tests.support.services.commands import events_in

TEXTS = {
    "long text": "x" * 20_000,
    "half an emoji": "\\ud83d",
    "null character": "\\u0000",
    "control characters": "\\u0001\\u001f\\u007f",
    "number beyond a double": None,
}
VALUES: dict[str, str] = {
    **{name: f'"{text}"' for name, text in TEXTS.items() if text is not None},
    "number beyond a double": "1e400",
    "number of 400 digits": "9" * 400,
    "many keys": json.dumps({f"k{n}": None for n in range(500)}),
    "long key": json.dumps({"k" * 5_000: 1}),
    "empty key": json.dumps({"": 1}),
    "many items": json.dumps(list(range(2_000))),
    "null": "null",
    "boolean": "false",
}
KINDS = {
    "form.submitted": '"form_id": "f1"',
    "payment.completed": '"amount": "10"',
    "contact.tag.added": '"tag_name": "VIP"',
    "appointment.booked": '"calendar_id": "k"',
    "pipeline.stage.changed": '"stage_id": "won"',
}


@pytest.fixture
def client(api: Api) -> httpx.Client:
    return api.client("acme", "events:write")


def accepted(client: httpx.Client, events: list[str]) -> Any:
    content = f"[{', '.join(events)}]".encode()
    headers = {"content-type": "application/json"}
    answer = client.post("/api/v1/events", content=content, headers=headers)
    assert answer.status_code == 202, answer.text
    return answer.json()


@pytest.mark.parametrize("value", VALUES)
def test_value_that_is_not_read_refuses_no_event(
    client: httpx.Client, redis_url: str, value: str
) -> None:
    text = VALUES[value]
    events = [
        f'{{"id": "{kind}/{place}", "source": "s", "type": "{kind}", '
        f'"time": "2026-01-01T00:00:00Z", {fields}}}'
        for kind, read in KINDS.items()
        for place, fields in {
            "in data": f'"data": {{"contact_id": "c", {read}, "extra": {text}}}',
            "deeper": f'"data": {{"contact_id": "c", {read}, "o": {{"p": [{text}]}}}}',
            "next to data": f'"extra": {text}, "data": {{"contact_id": "c", {read}}}',
        }.items()
    ]
    answer = accepted(client, events)
    assert (answer["accepted"], answer["refused"]) == (len(events), [])
    with redis.Redis.from_url(redis_url) as connection:
        assert len(events_in(connection)) == len(events)


@pytest.mark.parametrize("product", [7513594, "sku-1", None])
def test_line_items_of_any_number_are_accepted(client: httpx.Client, product: Any) -> None:
    item = {"product_id": product, "title": "A product, size L", "quantity": 1, "price": "19.90"}
    event = {
        "id": "1",
        "source": "s",
        "type": "payment.completed",
        "time": "2026-01-01T00:00:00Z",
        "data": {"contact_id": "c", "amount": "10", "line_items": [item] * 600},
    }
    assert accepted(client, [json.dumps(event)])["accepted"] == 1
