"""The encoded form of a plan, field by field, as docs/reference/plans.md describes it. The state
machine reads it by position."""

from decimal import Decimal
from typing import Any

import msgpack

from goald.domain.definitions.compiler import compile_plan
from goald.domain.definitions.encoder import encode_plan
from goald.domain.definitions.readers.definition import read_definition

DEFAULTS = [None, None, "fail", "continue", "continue"]
SECOND = 1_000_000


def encoded(document: dict[str, Any]) -> list[Any]:
    read = read_definition(document)
    assert read.faults == ()
    assert read.definition is not None
    plan: list[Any] = msgpack.unpackb(encode_plan(compile_plan(read.definition)))
    return plan


def test_every_field_of_a_plan_has_its_position() -> None:
    plan = encoded(
        {
            "timezone": "Europe/Berlin",
            "max_lateness": "1h",
            "reentry": {"allow": "always", "min_interval": "60s"},
            "trigger": {
                "on": "purchase_made",
                "criteria": {"min_amount": Decimal("10.50"), "currency": "eur"},
            },
            "steps": [
                {
                    "id": "hook",
                    "action": "webhook",
                    "connection": "crm",
                    "with": {"url": "https://example.com", "body": {"b": 1, "a": Decimal("1.50")}},
                    "retry": {"max_attempts": 5, "base_delay": "30s"},
                    "on_exhausted": "continue",
                    "on_rejected": "fail",
                    "on_unknown": "retry",
                    "max_lateness": "15m",
                },
                {"id": "plain", "action": "noop"},
                {
                    "id": "check",
                    "condition": {
                        "or": [
                            {"has_tag": "VIP"},
                            {"and": [{"attribute": "seats", "op": "gt", "value": Decimal("9.5")}]},
                            {"not": {"has_tag": {"tag_id": "t-1", "tag_name": "Gold"}}},
                            {"attribute": "plan", "op": "in", "value": ["pro", True, 3]},
                            {"attribute": "seats"},
                        ]
                    },
                    "then": [{"id": "stop", "exit": True}],
                },
                {"id": "pause", "wait": {"for": "2h"}},
                {
                    "id": "morning",
                    "wait": {"until": {"time": "09:30", "days": ["mon", "sun"], "timezone": "UTC"}},
                },
                {"id": "eve", "wait": {"until": {"time": "00:00:01", "date": "1970-01-03"}}},
                {
                    "id": "change",
                    "wait": {
                        "for_event": {
                            "on": "contact.updated",
                            "criteria": {
                                "changed": ["city", "plan"],
                                "condition": {"has_tag": "VIP"},
                            },
                        },
                        "timeout": "1d",
                    },
                    "else": [{"id": "late", "action": "noop"}],
                },
                {
                    "id": "form",
                    "wait": {"for_event": {"on": "form_submitted", "criteria": {"form_id": "f"}}},
                },
            ],
        }
    )
    assert plan == [
        1,
        "Europe/Berlin",
        [2, 60 * SECOND],
        [2, '{"currency":"EUR","min_amount":10.50}', [], None],
        [[None, "VIP"], ["t-1", "Gold"]],
        ["seats", "plan", "city"],
        [
            [
                1, "hook", 9, 1, "webhook", "crm",
                '{"url":"https://example.com","body":{"b":1,"a":1.50}}',
                [5, 30 * SECOND, "continue", "fail", "retry"], 900 * SECOND,
            ],
            [1, "plain", 8, 2, "noop", None, "{}", DEFAULTS, 3_600 * SECOND],
            [
                2, "check", 7, 3, 4,
                [3, [
                    [0, 0],
                    [2, [[1, 0, 4, [["9.5"]]]]],
                    [4, [0, 1]],
                    [1, 1, 7, ["pro", True, ["3"]]],
                    [1, 0, 8, []],
                ]],
            ],
            [6, "stop", 1],
            [3, "pause", 6, 5, 7_200 * SECOND],
            [4, "morning", 5, 6, 34_200, 0b1000001, None, "UTC"],
            [4, "eve", 4, 7, 1, 127, 2, None],
            [5, "change", 3, 9, 8, [32, None, [2, 1], [0, 0]], 86_400 * SECOND],
            [1, "late", 2, 9, "noop", None, "{}", DEFAULTS, 3_600 * SECOND],
            [5, "form", 1, 10, 10, [8, '{"form_id":"f"}', [], None], None],
            [0],
        ],
    ]  # fmt: skip


def test_an_empty_branch_continues_after_the_condition() -> None:
    noops = [{"id": step_id, "action": "noop"} for step_id in "xyz"]
    check = {"id": "c", "condition": {"has_tag": "a"}}
    only_else = encoded({"steps": [{**check, "else": noops[:1]}, noops[1]]})
    assert only_else[6][0] == [2, "c", 3, 2, 1, [0, 0]]
    nested = {**check, "then": [{**check, "id": "d", "then": noops[:1]}]}
    last = encoded({"steps": [nested, noops[1]]})[6]
    assert last[1] == [2, "d", 3, 2, 3, [0, 0]]
    assert last[0] == [2, "c", 4, 1, 3, [0, 0]]


def test_equal_definitions_have_equal_plans() -> None:
    steps = [{"id": "a", "action": "noop"}]
    assert encoded({"steps": steps}) == encoded({"reentry": {}, "steps": steps, "timezone": None})


def test_the_connection_of_a_webhook_without_one_is_its_host() -> None:
    """A pause or a rate limit applies to the host, not to all webhooks of the tenant."""
    steps = [
        {
            "id": "a",
            "action": "webhook",
            "with": {"url": "https://A.example:8443/{{ contact.id }}"},
        },
        {"id": "b", "action": "webhook", "with": {"url": "http://b.example?x=@c.example"}},
        {"id": "c", "action": "webhook", "connection": "crm", "with": {"url": "http://b.example"}},
        {"id": "d", "action": "acme.hook", "with": {"url": "https://a.example"}},
    ]
    instructions = encoded({"steps": steps})[-1]
    assert [each[5] for each in instructions[:4]] == [
        "host a.example:8443", "host b.example", "crm", None,
    ]  # fmt: skip
