"""Events with invalid values, which both encodings can represent."""

from collections.abc import Iterator
from typing import Any

from tests.corpus.envelope import CONTACT, Envelope, as_json, as_msgpack, base, moment

ABSENT = object()

# (name, attribute, value, word)
_ATTRIBUTES: list[tuple[str, str, Any, str]] = [
    *((f"{name}-missing", name, ABSENT, name)
      for name in ("id", "source", "type", "time", "tenantid", "data")),
    *((f"{name}-null", name, None, name)
      for name in ("id", "source", "type", "time", "tenantid", "data")),
    *((f"{name}-a-fraction", name, 5.5, name)
      for name in ("id", "source", "type", "time", "tenantid", "data", "specversion",
                   "traceparent")),
    *((f"{name}-empty", name, "", name) for name in ("id", "source", "type", "time", "tenantid")),
    ("id-a-map", "id", {"id": 1}, "id"),
    ("time-a-list", "time", ["2026-01-01T00:00:00Z"], "time"),
    ("tenantid-true", "tenantid", True, "tenantid"),
    ("tenantid-of-257", "tenantid", "t" * 257, "tenantid"),
    ("tenantid-with-newline", "tenantid", "ac\nme", "tenantid"),
    *((f"tenantid-with-{name}", "tenantid", f"ac{char}me", "tenantid")
      for name, char in {"left-to-right-override": "\u202d", "right-to-left-mark": "\u200f",
                         "zero-width-space": "\u200b", "tag": "\U000e0041",
                         "hangul-filler": "\u3164"}.items()),
    ("data-a-string", "data", f'{{"contact_id": "{CONTACT}"}}', "data"),
    ("data-a-list", "data", [{"contact_id": CONTACT}], "data"),
    ("data-empty", "data", {}, "contact_id"),
    ("specversion-2", "specversion", "2.0", "specversion"),
    ("specversion-0.3", "specversion", "0.3", "specversion"),
    ("specversion-empty", "specversion", "", "specversion"),
    ("traceparent-a-list", "traceparent", [], "traceparent"),
    ("source-with-nul", "source", "cor\0pus", "NUL"),
    *((f"time-{name}", "time", text, "time") for name, text in {
        "without-offset": "2026-01-01T00:00:00",
        "date-only": "2026-01-01",
        "30-february": "2026-02-30T00:00:00Z",
        "29-february-2026": "2026-02-29T00:00:00Z",
        "month-13": "2026-13-01T00:00:00Z",
        "day-0": "2026-01-00T00:00:00Z",
        "hour-24": "2026-01-01T24:00:00Z",
        "second-61": "2026-01-01T00:00:61Z",
        "offset-25h": "2026-01-01T00:00:00+25:00",
        "space-without-offset": "2026-01-01 00:00:00",
        "zone-by-name": "2026-01-01T00:00:00 EST",
        "date-of-8-digits": "20260101",
        "full-width-digits": "２０２６-01-01T00:00:00Z",
        "year-10000": "10000-01-01T00:00:00Z",
        "in-words": "yesterday",
        "of-http": "Thu, 01 Jan 2026 00:00:00 GMT",
        "seconds-with-exponent": "1.7672256e9",
        "with-more-behind": "2026-01-01T00:00:00Z and then some",
    }.items()),
]  # fmt: skip

_AMOUNTS: dict[str, Any] = {
    "1e1000000": "1e1000000",
    "with-exponent": "1e3",
    "full-width-digits": "１２",
    "arabic-digits": "١٢",
    "with-underscore": "1_000",
    "nan": "NaN",
    "infinity": "Infinity",
    "minus-inf": "-inf",
    "empty": "",
    "with-space": " 1",
    "with-plus": "+1",
    "with-comma": "1,000",
    "without-units": ".5",
    "without-decimals": "5.",
    "hexadecimal": "0x10",
    "two-signs": "--1",
    "two-points": "1.2.3",
    "with-currency": "12 EUR",
    "of-19-digits": "1234567890123456789",
    "of-19-digits-with-point": "12345678901234567.89",
    "of-19-digits-with-zeros": "1.000000000000000000",
    "of-20-digits-a-number": 12345678901234567890,
    "of-19-digits-a-number": 1234567890123456789,
    "true": True,
    "a-list": [5],
    "a-map": {"value": 5},
    "float-1e18": 1e18,
    "float-1e300": 1e300,
    "float-minus-1e18": -1e18,
}

_STARTED: dict[str, Any] = {"workflow_id": "w-corpus", "enrollment_id": "e-corpus"}
_ENDED: dict[str, Any] = {**_STARTED, "reason": "exited"}

# (name, type, data without contact_id, word)
_DATA: list[tuple[str, str, dict[str, Any], str]] = [
    ("contact-missing", "contact.tag.added", {"contact_id": ABSENT}, "contact_id"),
    ("contact-null", "contact.tag.added", {"contact_id": None}, "contact_id"),
    ("contact-a-fraction", "contact.deleted", {"contact_id": 5.5}, "contact_id"),
    ("contact-empty", "contact.deleted", {"contact_id": ""}, "contact_id"),
    ("contact-of-769-bytes", "form.submitted", {"contact_id": "\U0001f600" + "カ" * 255}, "768"),
    ("contact-of-257", "form.submitted", {"contact_id": "c" * 257}, "contact_id"),
    ("contact-with-delete", "form.submitted", {"contact_id": "c\x7f1"}, "contact_id"),
    ("contact-with-c1-control", "form.submitted", {"contact_id": "c\x851"}, "contact_id"),
    ("contact-with-nul", "form.submitted", {"contact_id": "c\0"}, "NUL"),
    ("tag-id-a-fraction", "contact.tag.added", {"tag_id": 7.5}, "tag_id"),
    ("tag-id-a-list", "contact.tag.added", {"tag_id": ["t"]}, "tag_id"),
    ("tag-id-empty", "contact.tag.added", {"tag_id": ""}, "tag_id"),
    ("tag-id-of-257", "contact.tag.added", {"tag_id": "t" * 257}, "tag_id"),
    ("tag-name-a-map", "contact.tag.added", {"tag_name": {"en": "Customer"}}, "tag_name"),
    ("tag-name-a-number", "contact.tag.added", {"tag_name": 1.5}, "tag_name"),
    ("tag-name-with-nul", "contact.tag.added", {"tag_name": "a\0b"}, "NUL"),
    ("currency-a-number", "payment.completed", {"currency": 978}, "currency"),
    ("product-a-fraction", "payment.completed", {"product_id": 12.5}, "product_id"),
    ("line-items-a-map", "payment.completed", {"line_items": {"product_id": "p"}}, "line_items"),
    ("line-items-a-string", "payment.completed", {"line_items": "p"}, "line_items"),
    ("line-items-of-strings", "payment.completed", {"line_items": ["p"]}, "line_items"),
    ("line-items-of-lists", "payment.completed", {"line_items": [["p"]]}, "line_items"),
    ("line-item-product-a-fraction", "payment.completed", {"line_items": [{"product_id": 3.5}]},
     "product_id"),
    ("line-item-product-of-257", "payment.completed", {"line_items": [{"product_id": "p" * 257}]},
     "product_id"),
    ("calendar-a-fraction", "appointment.booked", {"calendar_id": 3.5}, "calendar_id"),
    ("calendar-with-tab", "appointment.booked", {"calendar_id": "k\t1"}, "calendar_id"),
    ("service-true", "appointment.booked", {"service_id": True}, "service_id"),
    ("form-a-fraction", "form.submitted", {"form_id": 3.5}, "form_id"),
    ("form-empty", "form.submitted", {"form_id": ""}, "form_id"),
    ("stage-a-list", "pipeline.stage.changed", {"stage_id": ["s"]}, "stage_id"),
    ("pipeline-a-fraction", "pipeline.stage.changed", {"pipeline_id": 1.5}, "pipeline_id"),
    ("workflow-missing", "workflow.enrollment.started", {"enrollment_id": "e"}, "workflow_id"),
    ("enrollment-missing", "workflow.enrollment.started", {"workflow_id": "w"}, "enrollment_id"),
    ("workflow-of-257", "workflow.enrollment.started", _STARTED | {"workflow_id": "w" * 257},
     "workflow_id"),
    ("enrollment-with-escape", "workflow.enrollment.started",
     _STARTED | {"enrollment_id": "e\x1b[0m"}, "enrollment_id"),
    ("enrolled-at-a-number", "workflow.enrollment.started", _STARTED | {"enrolled_at": 5},
     "enrolled_at"),
    ("enrolled-at-without-offset", "workflow.enrollment.started",
     _STARTED | {"enrolled_at": "2026-01-01T00:00:00"}, "enrolled_at"),
    *((f"pending-{name}", "workflow.enrollment.started", _STARTED | {"pending_actions": value},
       "pending_actions")
      for name, value in {"negative": -1, "a-fraction": 1.5, "a-text": "3", "true": True,
                          "beyond-the-limit": 1_000_001, "beyond-32-bits": 2**31,
                          "beyond-63-bits": 2**63}.items()),
    ("ended-without-reason", "workflow.enrollment.ended", _STARTED, "reason"),
    *((f"ended-reason-{name}", "workflow.enrollment.ended", _ENDED | {"reason": value}, "reason")
      for name, value in {"unknown": "bored", "null": None, "in-capitals": "Completed",
                          "completed-goal": "completed_goal", "a-number": 1}.items()),
    ("ended-workflow-a-fraction", "workflow.enrollment.ended", _ENDED | {"workflow_id": 1.5},
     "workflow_id"),
    ("acknowledged-without-enrollment", "workflow.exit.acknowledged", {"workflow_id": "w"},
     "enrollment_id"),
    ("acknowledged-negative", "workflow.exit.acknowledged", _STARTED | {"cancelled_actions": -2},
     "cancelled_actions"),
]  # fmt: skip


def bad_values(now_us: int) -> Iterator[Envelope]:
    """Each event as JSON and as MessagePack."""
    for name, event, word in _events(now_us):
        yield Envelope(f"json-{name}", as_json(event).encode(), "dead", word)
        yield Envelope(f"msgpack-{name}", as_msgpack(event), "dead", word)


def _events(now_us: int) -> Iterator[tuple[str, dict[str, Any], str]]:
    for name, attribute, value, word in _ATTRIBUTES:
        yield name, _present(base(name, now_us, tag_id="t-1") | {attribute: value}), word
    yield "time-25h-ahead", base("ahead", now_us) | {"time": moment(now_us, 25)}, "time"
    yield "time-a-year-ahead", base("year", now_us) | {"time": moment(now_us, 8760)}, "time"
    ahead = _STARTED | {"enrolled_at": moment(now_us, 25)}
    kind = "workflow.enrollment.started"
    yield "enrolled-at-25h-ahead", base("enrolled", now_us, kind, **ahead), "enrolled_at"
    for name, amount in _AMOUNTS.items():
        event = base(f"paid-{name}", now_us, "payment.completed", amount=amount)
        yield f"paid-{name}", event, "amount"
    for name, kind, data, word in _DATA:
        event = base(name, now_us, kind)
        event["data"] = _present(event["data"] | data)
        yield name, event, word


def _present(members: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in members.items() if value is not ABSENT}
