"""The work of one evaluation is bounded for any contact, goals and events (D8). Work is counted,
so the test does not depend on the machine."""

import json
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.pipeline.dict_store import DictStore

from goald import _native

NOW_US = 1_772_409_600_000_000
SHARES = 2
ACHIEVED, DELETED = 2_400, 2_000
EVENTS = st.sampled_from(("items", "met", "goal", "delete", "start", "end", "tag", "garbage"))


def workflow(tenant: str, number: int, logic: str) -> dict[str, Any]:
    goals = [
        {
            "id": f"00000000-0000-4000-8000-{number:06}{at:06}",
            "goal_type": "purchase_made",
            "criteria": json.dumps({"product_id": product}),
            "is_active": True,
            "effective_from": 0,
            "created_at": 0,
            "position": at,
        }
        for at, product in enumerate(("p-goal", "p-met", "p-none"))
    ]
    return {
        "tenant_id": tenant,
        "workflow_id": f"w-{number}",
        "goal_logic": logic,
        "is_active": True,
        "goals": goals,
    }


def event(kind: str, tenant: str, number: int, workflows: int) -> bytes:
    data: dict[str, Any] = {"contact_id": "ann"}
    types = {"delete": "contact.deleted", "tag": "contact.tag.added"}
    name = types.get(kind, "payment.completed")
    if kind == "items":
        data["line_items"] = [{"product_id": f"p-{item}"} for item in range(300)]
    elif kind in ("met", "goal"):
        data["product_id"] = f"p-{kind}"
    elif kind in ("start", "end"):
        name = "workflow.enrollment.started" if kind == "start" else "workflow.enrollment.ended"
        data |= {"workflow_id": f"w-{number % workflows}", "enrollment_id": f"n-{number}"}
        data |= {"reason": "exited"} if kind == "end" else {}
    elif kind == "garbage":
        data["amount"] = "NaN"
    body = {
        "id": f"ev-{number}",
        "source": "test",
        "type": name,
        "time": "2026-03-01T00:00:00Z",
        "tenantid": tenant,
        "data": data,
    }
    return json.dumps(body).encode()


@settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    enrollments=st.integers(0, 150),
    workflows=st.integers(1, 6),
    logic=st.sampled_from(("any", "all")),
    events=st.lists(st.tuples(EVENTS, st.sampled_from(("acme", "globex", "x"))), max_size=60),
    shares=st.tuples(st.integers(1, 5_000), st.integers(1, 5_000)),
)
def test_work_of_an_evaluation_is_bounded(
    enrollments: int,
    workflows: int,
    logic: str,
    events: list[tuple[str, str]],
    shares: tuple[int, int],
) -> None:
    matcher, store = _native.Matcher(), DictStore()
    tenants = ("acme", "globex", "x")
    matcher.update_workflows(
        [workflow(tenant, at, logic) for tenant in tenants for at in range(workflows)]
    )
    starts = [
        event("start", tenant, 1_000 + number, workflows)
        for tenant in tenants[:2]
        for number in range(enrollments)
    ]
    sent = [event(kind, tenant, at, workflows) for at, (kind, tenant) in enumerate(events)]
    processed = 0
    waiting = _buffers([*starts, *sent])
    while waiting:
        proposal = matcher.evaluate(waiting, NOW_US, shares=shares)
        # One event beyond the limit: its bytes and line items, each enrollment in the
        # index and in this proposal, judged, and its effects, which end with the share.
        judged = 4 * (enrollments + len(events) + len(proposal.effects))
        share, event_share = shares
        most_of_an_event = 1_000 + judged + event_share + ACHIEVED + DELETED
        assert proposal.work <= SHARES * share + most_of_an_event + 20 * proposal.events
        assert proposal.events or len(proposal.effects), "no progress"
        for piece in proposal.slices(100, 1 << 20):
            marks, _ = store.commit(piece)
            matcher.apply(piece, marks)
        processed += proposal.events
        waiting = [buffer for *_, buffer in proposal.deferred]
    assert processed == len(starts) + len(sent)


def _buffers(events: list[bytes]) -> list[bytes]:
    entries = [[f"{number + 1}-0".encode(), [b"event", body]] for number, body in enumerate(events)]
    routed = _native.Router(bytes(_native.SLOTS), max_buffer=8_000).route(entries)
    return [buffer for _, buffer, _ in routed.buffers]
