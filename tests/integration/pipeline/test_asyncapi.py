"""docs/asyncapi.yaml documents exactly the messages that goald reads and publishes."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import yaml
from jsonschema import Draft7Validator
from referencing import Registry
from referencing.jsonschema import DRAFT7
from tests.corpus.envelope import base
from tests.corpus.good_envelopes import good_envelopes
from tests.support.services.daemon import Daemon

from goald import redis_keys
from goald._native import SLOTS, Matcher, Router
from goald.client import event
from goald.domain.actions.gates import ActionType, GateId, GateSeries
from goald.domain.actions.job import Job
from goald.domain.actions.outcomes import SUCCESS, Outcome, OutcomeKind, result_event
from goald.domain.configuration.goals import LISTENS_TO
from goald.domain.configuration.notices import notices_for
from goald.domain.configuration.workflows import ConfigurationChange, GoalRow, WorkflowRow
from goald.domain.event_types import is_reserved
from goald.domain.ids import ContactId, EnrollmentId, TenantId, WorkflowId
from goald.domain.records.execution import Execution
from goald.domain.records.execution_requests import change_request, start_request
from goald.domain.records.reversal import REFUND_NOTICE, refund_notice
from goald.operations.executions import SOURCE

ROOT = Path(__file__).parents[3]
DOCUMENT: dict[str, Any] = yaml.safe_load((ROOT / "docs/asyncapi.yaml").read_text())
REGISTRY: Registry[Any] = Registry().with_resource("doc", DRAFT7.create_resource(DOCUMENT))
NOW_US = 1_772_323_200_000_000
LIFECYCLE = {
    "workflow.enrollment.started",
    "workflow.enrollment.ended",
    "workflow.exit.acknowledged",
    "contact.deleted",
    "payment.refunded",
    "appointment.cancelled",
    "contact.updated",
    "contact.merged",
    "contact.tag.removed",
}


def types_of(channel: str) -> set[str]:
    return set(DOCUMENT["channels"][channel]["messages"])


READ = sorted(types_of("events"))
PUBLISHED = sorted(types_of("exits") | types_of("notices"))


def refused(message: str, payload: Any) -> list[str]:
    """The errors of a payload according to the schema of a message."""
    pointer = message.replace("~", "~0").replace("/", "~1")
    schema = {"$ref": f"doc#/components/messages/{pointer}/payload"}
    found = Draft7Validator(schema, registry=REGISTRY).iter_errors(payload)
    return [f"{error.json_path}: {error.message}" for error in found]


def outcome_of(payload: Any) -> str:
    """The result of the matcher: "accepted", "ignored", or the reason of the dead letter."""
    raw = json.dumps(payload).encode()
    routed = Router(bytes(SLOTS)).route([[b"1-0", [b"event", raw]]])
    if routed.rejects:
        return routed.rejects[0][1]
    matcher = Matcher()
    buffers = [buffer for _, buffer, _ in routed.buffers]
    matcher.keep_contacts([tenant for tenant, _ in matcher.contacts_of(buffers)])
    proposal = matcher.evaluate(buffers, NOW_US)
    if proposal.rejects:
        return proposal.rejects[0][2]
    return "ignored" if proposal.ignored else "accepted"


def examples(message: str) -> list[Any]:
    found = DOCUMENT["components"]["messages"][message]["examples"]
    return [example["payload"] for example in found]


# Channels and messages -------------------------------------------------------------------


def test_every_stream_is_a_channel() -> None:
    addresses = {channel["address"] for channel in DOCUMENT["channels"].values()}
    assert addresses == {
        redis_keys.event_stream(0).replace("0", "{p}"),
        redis_keys.EXITS,
        redis_keys.NOTICES,
        redis_keys.DEAD,
        redis_keys.CONTROL,
        redis_keys.action_stream("{type}"),
    }


def test_the_documented_event_types_are_those_that_the_matcher_reads() -> None:
    source = (ROOT / "native/matcher/src/decode/fact.rs").read_text()
    decoded = set(re.findall(r'^\s+"([a-z.]+)" => Fact::', source, re.MULTILINE))
    assert types_of("events") == decoded
    assert types_of("events") == set(LISTENS_TO.values()) | LIFECYCLE


def test_the_documented_notices_are_those_that_are_published() -> None:
    goal = GoalRow(UUID(int=1), "w", None, 0, "tag_added", {"tag_name": "a"}, True, None)
    draft, active = WorkflowRow("w", "W", "any", False), WorkflowRow("w", "W", "any", True)
    changes = [
        ConfigurationChange(None, goal),
        ConfigurationChange(goal, goal),
        ConfigurationChange(goal, None),
        ConfigurationChange(draft, active),
        ConfigurationChange(active, draft),
    ]
    published = {name for change in changes for _, name, _ in notices_for(change)}
    assert types_of("notices") == published | {"workflow.goal.achieved", REFUND_NOTICE}


def test_every_reference_resolves_and_every_message_is_on_a_channel() -> None:
    for reference in set(_references(DOCUMENT)):
        found: Any = DOCUMENT
        for key in reference.removeprefix("#/").split("/"):
            found = found[key]
    on_channels = {
        message["$ref"].rpartition("/")[2]
        for channel in DOCUMENT["channels"].values()
        for message in channel["messages"].values()
    }
    assert on_channels == set(DOCUMENT["components"]["messages"])
    operated = {each["channel"]["$ref"] for each in DOCUMENT["operations"].values()}
    assert operated == {f"#/channels/{name}" for name in DOCUMENT["channels"]}


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for each in node.values():
            yield from _references(each)
    elif isinstance(node, list):
        for each in node:
            yield from _references(each)


# Schema and decoder ----------------------------------------------------------------------


@pytest.mark.parametrize("message", sorted(DOCUMENT["components"]["messages"]))
def test_examples_conform_to_their_schema(message: str) -> None:
    assert examples(message)
    for payload in examples(message):
        assert refused(message, payload) == []


@pytest.mark.parametrize("message", READ)
def test_examples_of_events_are_accepted(message: str) -> None:
    assert [outcome_of(payload) for payload in examples(message)] == ["accepted"]


INVALID_VALUES: list[Any] = [
    None, "", "x", "a" * 256, "a" * 257, "a\nb", "ab\n", "\x7f", "é" * 256, 0, 7, -1, 2**26,
    2.5, True, [], ["x"], {}, {"product_id": 7}, [{}], [{"product_id": "p-1"}],
    [{"product_id": 7}], [{"product_id": 7.5}], [{"product_id": "a\nb"}], [None], "1.0", "2.0",
    "150.00", "-5", "1e5", "+1", ".5", "completed", "gone", "2026-01-01T00:00:00Z",
    "2026-01-01t00:00:00.123z",
    "2026-01-01 00:00:00Z", "2026-01-01T00:00:00", "2026-13-01T00:00:00Z", "2026-01-01",
    "2026-01-01T00:00+01", "2026-01-01 00:00:00,5 -0930", "2026-01-01T00:00.5Z", 1_767_225_600,
    1_767_225_600_123, 1_767_225_600.25, "1767225600.25", "99999999", 99_999_999,
]  # fmt: skip
"""Each replaces the value of each field; some are valid for some fields."""


@pytest.mark.parametrize("message", READ)
def test_the_schema_accepts_exactly_the_events_that_the_decoder_accepts(message: str) -> None:
    """Omits each attribute and field of a type, and sets it to each unusual value."""
    (example,) = examples(message)
    others = {"specversion": "1.0", "traceparent": "x", "unknown": 1}
    disagree = []
    for name in {**others, **example}:
        for value in [*INVALID_VALUES, ...]:
            if name == "type" and value is not None and value != "":
                continue  # another type is another message
            disagree += _disagreement(message, {**example, name: value}, name)
    fields = _fields(message) | example["data"].keys() | {"unknown"}
    for name in fields:
        for value in [*INVALID_VALUES, ...]:
            data = {**example["data"], name: value}
            disagree += _disagreement(
                message, {**example, "data": _without_omitted(data)}, f"data.{name}"
            )
    assert disagree == []


def _disagreement(message: str, payload: dict[str, Any], name: str) -> list[tuple[Any, ...]]:
    event = _without_omitted(payload)
    errors, outcome = refused(message, event), outcome_of(event)
    return [] if (errors == []) == (outcome == "accepted") else [(name, event, errors, outcome)]


def _without_omitted(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not ...}


def _fields(message: str) -> set[str]:
    """The fields of `data` that a message's schema names."""
    (_, own) = DOCUMENT["components"]["messages"][message]["payload"]["allOf"]
    return set(own["properties"].get("data", {}).get("properties", {}))


def test_the_schema_accepts_every_unusual_but_valid_envelope() -> None:
    accepted = 0
    for envelope in good_envelopes(NOW_US):
        try:
            payload = json.loads(envelope.raw)
        except ValueError:
            continue  # MessagePack
        assert refused(payload["type"], payload) == [], envelope.name
        accepted += 1
    assert accepted > 50


def test_an_undocumented_event_type_is_ignored() -> None:
    assert outcome_of(base("other", NOW_US, "contact.viewed", tag_id="t-1")) == "ignored"


# Messages among the parts of goald -------------------------------------------------------

JOB = Job(
    GateId(GateSeries("0000000057-1f0c93ab"), 12), TenantId("acme"), ContactId("ann"),
    WorkflowId("w"), EnrollmentId("x-1"), "notify", 1, 1, ActionType("webhook"),
    "5d2c8f2a-0f0e-5a43-8f1b-6d9a1f0f4b11", {"url": "https://example.com/hook"}, {},
)  # fmt: skip


def own_messages() -> Iterator[dict[str, Any]]:
    yield json.loads(JOB.encode(NOW_US))
    for outcome in (SUCCESS, Outcome(OutcomeKind.RATE_LIMIT, "429", 30.0)):
        result = result_event(JOB, outcome, b"t" * 16, is_keyed=True, duration_ms=112, at_us=NOW_US)
        yield json.loads(result)
    execution = Execution(
        EnrollmentId("x-1"), WorkflowId("w"), ContactId("ann"), 1, "FAILED", None, None, "notify",
        1, 1, 0, None, None, (), NOW_US, NOW_US, None,
    )  # fmt: skip
    for request in (
        start_request("acme", "w", "ann", "k", {"coupon": "SPRING"}),
        change_request(execution, "cancel", "admin", "r-1"),
        change_request(execution, "retry", "admin", "r-2"),
    ):
        data = dict(request.data)
        yield event(
            request.type, "acme", data.pop("contact_id"), data, id=request.id, source=SOURCE
        )


def test_jobs_results_and_requests_conform_to_the_documentation() -> None:
    messages = list(own_messages())
    assert {each["type"] for each in messages} == types_of("requests") | types_of("actions")
    for each in messages:
        assert refused(each["type"], each) == []
        (example,) = examples(each["type"])
        assert each["data"].keys() - {"delay_ms"} == example["data"].keys()


def test_only_goald_may_send_the_requests() -> None:
    assert all(is_reserved(kind) for kind in types_of("requests") | types_of("actions"))


# Messages of a running daemon ------------------------------------------------------------

GOALS = """
tenant: {tenant}
workflows:
  - id: upsell
    active: {active}
    goals:
      - {{key: buy, goal_type: purchase_made, criteria: {{min_amount: "{amount}"}}}}
      - {{key: tag, goal_type: tag_added, criteria: {{tag_name: Customer}}}}
"""


@pytest.fixture
def published(daemon: Daemon, tenant: str) -> dict[str, list[dict[str, Any]]]:
    """The exits and notices of a tenant for which every type of message is published, by type."""
    daemon.apply(GOALS.format(tenant=tenant, active="true", amount="100.00"))
    daemon.apply(GOALS.format(tenant=tenant, active="true", amount="99.50"))
    started = {"workflow_id": "upsell", "enrollment_id": "e-1"}
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for sent in (
        event("workflow.enrollment.started", tenant, "ann", started),
        event("payment.completed", tenant, "ann", {"amount": "99.50"}, traceparent=trace),
    ):
        daemon.publish(sent)
        daemon.until_lag_zero()
    daemon.apply(GOALS.format(tenant=tenant, active="false", amount="99.50"))
    fewer = GOALS.format(tenant=tenant, active="false", amount="99.50").rsplit("\n", 2)[0]
    daemon.apply(fewer, "--prune")
    daemon.until("notice", lambda: daemon.notices(tenant, "workflow.goal.deleted"))
    found: dict[str, list[dict[str, Any]]] = {}
    with daemon.redis() as client:
        for stream in (redis_keys.EXITS, redis_keys.NOTICES):
            for _, fields in client.xrange(stream):
                assert set(fields) == {b"event"}
                message = json.loads(fields[b"event"])
                if message["tenantid"] == tenant:
                    found.setdefault(message["type"], []).append(message)
    return found


def test_published_messages_conform_to_the_documentation(
    published: dict[str, list[dict[str, Any]]],
) -> None:
    assert sorted([*published, REFUND_NOTICE]) == PUBLISHED
    for name, payloads in published.items():
        for payload in payloads:
            assert refused(name, payload) == []
            assert payload.keys() - {"traceparent"} == examples(name)[0].keys() - {"traceparent"}
            assert payload["data"].keys() == examples(name)[0]["data"].keys()


def test_the_notice_of_a_refund_conforms_to_the_documentation() -> None:
    _, payload = refund_notice("acme", "ann", "w", "e-1", NOW_US)
    notice, (example,) = json.loads(payload), examples(REFUND_NOTICE)
    assert refused(REFUND_NOTICE, notice) == []
    assert notice.keys() == example.keys()
    assert notice["data"].keys() == example["data"].keys()


def test_a_dead_letter_conforms_to_the_documentation(daemon: Daemon, tenant: str) -> None:
    bad = {**event("contact.tag.added", tenant, "ann"), "time": "now", "note": tenant}
    with daemon.redis() as client:
        client.xadd(redis_keys.event_stream(0), {"event": json.dumps(bad)})

        def dead_letter() -> dict[str, str] | None:
            for _, fields in client.xrange(redis_keys.DEAD):
                if tenant in fields[b"event"].decode(errors="replace"):
                    return {name.decode(): value.decode() for name, value in fields.items()}
            return None

        assert refused("dead", daemon.until("dead letter", dead_letter)) == []


def test_a_control_message_conforms_to_the_documentation(daemon: Daemon, tenant: str) -> None:
    daemon.apply(GOALS.format(tenant=tenant, active="true", amount="1"))
    with daemon.redis() as client:
        entries = [fields for _, fields in client.xrange(redis_keys.CONTROL)]
    messages = [json.loads(fields[b"event"]) for fields in entries]
    own = [each for each in messages if each["tenantid"] == tenant]
    by_version = {each["version"]: each for each in own}  # a shard may publish it, too
    assert [each["workflows"] for each in by_version.values()] == [["upsell"]]
    assert all(each == by_version[each["version"]] for each in own)
    for each in messages:
        assert refused("changed", each) == []
