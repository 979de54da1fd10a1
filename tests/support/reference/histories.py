"""Hypothesis strategy for histories: changes of the configuration, and batches of events.

A history is a list of `Configure` and `Batch`, for one to three tenants with few contacts and
enrollments. Most histories have achievements, and contain duplicates, times out of order,
redeliveries, an `ended` before its `started`, enrollment ids that are used again for another
contact, deleted contacts and workflows, goals that change between events, and events that are
refused.

    @given(histories())
    def test_the_engine_agrees(history: History) -> None:
        expected = play(history)
        ...feed history.steps to something else, and compare
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from hypothesis import strategies as st
from tests.support.reference import matching
from tests.support.reference.configurations import (
    SECOND_US,
    START_US,
    TENANTS,
    WORKFLOWS,
    Configure,
    configure,
    often,
    pick,
)
from tests.support.reference.model import Model

EVENTS = 50
CONTACTS = ("c-1", "c-2", "c-3")
ENROLLMENTS = tuple(f"e-{number}" for number in range(9))
NOW_US = START_US + 60 * SECOND_US

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Upper bounds of a random number below 100, for each kind of event. The rest, and the
# events that are made invalid, are events that goals listen to.
_STARTED, _ENDED, _DELETED, _REPEATED, _OTHER, _TAG_REMOVED = 18, 23, 25, 36, 38, 41
_INVALID = 45
_MERGED = 8
"""Of a hundred events of a history with merges."""
_MORE_ENDED = 25
"""Of a hundred events of a history with many ends."""

_REMOVED_TAGS: tuple[dict[str, Any], ...] = (
    {"tag_id": "t-1"},
    {"tag_name": "customer"},
    {"tag_id": "t-2", "tag_name": "Customer"},
    {"tags": ["CAF\u00c9", "stra\u00dfe"]},
    {},
)


_WITHOUT_GOALS = (
    "contact.updated",
    "workflow.exit.acknowledged",
    "payment.refunded",
    "appointment.cancelled",
)


@dataclass(frozen=True)
class Batch:
    """Decoded events that arrive together, in order. JSON and MessagePack can represent them."""

    events: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class History:
    """`now_us` is the time of arrival of all events. Only events that are refused have a time
    more than a day later."""

    steps: tuple[Configure | Batch, ...]
    clock_skew_us: int
    now_us: int


def play(history: History) -> Model:
    """The reference model after a history."""
    model = Model(clock_skew_us=history.clock_skew_us, now_us=history.now_us)
    for step in history.steps:
        if isinstance(step, Configure):
            change(model, step)
        else:
            for event in step.events:
                model.feed(event)
    return model


def change(model: Model, step: Configure) -> None:
    """Apply a change of the configuration to a model."""
    if step.is_deleted:
        model.delete_workflow(step.tenant, step.workflow_id)
        return
    model.distinguish_tags(step.tenant, step.tag_case_sensitive)
    model.configure(
        step.tenant, step.workflow_id, step.goal_logic, step.is_active, step.goals,
        exits_missed=step.exits_missed,
    )  # fmt: skip


@st.composite
def histories(
    draw: st.DrawFn, events: int = EVENTS, merges: bool = False, ends: bool = False
) -> History:
    """Histories that start with a configuration of every workflow, and have `events` events. With
    `merges`, every second one has merges of contacts; with `ends`, many enrollments that end."""
    merges = merges and often(draw, 50)
    ends = ends and often(draw, 50)
    tenants = TENANTS[: pick(draw, (1, 1, 2, 3))]
    workflows = WORKFLOWS[: pick(draw, (1, 2, 3, 4))]
    current = {
        (tenant, workflow): configure(draw, tenant, workflow)
        for tenant in tenants
        for workflow in workflows
    }
    steps: list[Configure | Batch] = list(current.values())
    past: list[dict[str, Any]] = []
    pending: list[dict[str, Any]] = []
    for number in range(events):
        event = _event(draw, number, tenants, workflows, current, past)
        if merges and number >= 2 * len(tenants) and often(draw, _MERGED):
            event = _merged(draw, event, past)
        if ends and often(draw, _MORE_ENDED):
            event = _ended(draw, event, past)
        pending.append(event)
        past.append(pending[-1])
        changes = often(draw, 6)
        if changes or often(draw, 15):
            steps.append(Batch(tuple(pending)))
            pending = []
        if changes:
            step = configure(draw, pick(draw, tenants), pick(draw, workflows))
            before = current[step.tenant, step.workflow_id]
            by_case = before.tag_case_sensitive is not often(draw, 25)
            step = replace(step, is_deleted=often(draw, 20), tag_case_sensitive=by_case)
            current[step.tenant, step.workflow_id] = step
            steps += _of_tenant(current, step)
    steps.append(Batch(tuple(pending)))
    return History(tuple(steps), pick(draw, (0, 0, 0, 2 * SECOND_US)), NOW_US)


def _of_tenant(current: dict[tuple[str, str], Configure], changed: Configure) -> list[Configure]:
    """A change of a workflow, and of the others of its tenant if the setting of the tenant changes;
    changes them in `current` too."""
    others = [
        replace(each, tag_case_sensitive=changed.tag_case_sensitive)
        for each in current.values()
        if each.tenant == changed.tenant and each.tag_case_sensitive != changed.tag_case_sensitive
    ]
    current.update({(each.tenant, each.workflow_id): each for each in others})
    return [changed, *others]


def _event(
    draw: st.DrawFn,
    number: int,
    tenants: tuple[str, ...],
    workflows: tuple[str, ...],
    current: dict[tuple[str, str], Configure],
    past: list[dict[str, Any]],
) -> dict[str, Any]:
    # The first events of each tenant start enrollments.
    roll = 0 if number < 2 * len(tenants) else draw(st.integers(0, 99))
    if _DELETED <= roll < _REPEATED:
        return pick(draw, past)
    tenant = tenants[number % len(tenants)]
    enrollment = draw(st.integers(0, len(ENROLLMENTS) - 1))
    # The id of an enrollment determines its contact and workflow, with few exceptions.
    contact = CONTACTS[enrollment % len(CONTACTS)]
    workflow = workflows[enrollment % len(workflows)]
    ids = {"workflow_id": workflow, "enrollment_id": ENROLLMENTS[enrollment]}
    if roll < _ENDED and often(draw, 8):
        contact = pick(draw, CONTACTS)
        ids["workflow_id"] = pick(draw, workflows)
    time_us = _time_us(draw, number)
    if roll < _STARTED:
        kind = "workflow.enrollment.started"
        data = _started_data(draw, number, time_us, past) | ids
    elif roll < _ENDED:
        reason = pick(draw, ("completed", "exited", "cancelled"))
        kind, data = "workflow.enrollment.ended", ids | {"reason": reason}
    elif roll < _DELETED:
        kind, data = "contact.deleted", {}
    elif roll < _OTHER:
        kind, data = pick(draw, _WITHOUT_GOALS), ids
    elif roll < _TAG_REMOVED:
        kind, data = "contact.tag.removed", pick(draw, _REMOVED_TAGS)
    else:
        kind, data = matching.event(draw, current[tenant, workflow].goals)
        data = matching.values(draw) | data
    event = {
        "id": f"ev-{number}",
        "source": ("crm", "shop/eu")[number % 2],
        "type": kind,
        "time": _written(time_us, number),
        "tenantid": tenant,
        "data": {"contact_id": contact, **data},
    }
    if _TAG_REMOVED <= roll < _INVALID:
        return pick(draw, _INVALIDATIONS)(event)
    return event


def _merged(draw: st.DrawFn, event: dict[str, Any], past: list[dict[str, Any]]) -> dict[str, Any]:
    """A merge in the tenant and at the time of the event. Not after another contact was deleted,
    because a deletion that is repeated may be of its life before the merge or after it."""
    contact, into = pick(draw, CONTACTS), pick(draw, CONTACTS)
    deleted = {
        earlier["data"]["contact_id"]
        for earlier in past
        if (earlier["type"], earlier["tenantid"]) == ("contact.deleted", event["tenantid"])
    }
    if deleted - {contact}:
        return event
    data = {"contact_id": contact, "into_contact_id": into}
    return {**event, "type": "contact.merged", "data": data}


def _ended(draw: st.DrawFn, event: dict[str, Any], past: list[dict[str, Any]]) -> dict[str, Any]:
    """The end of an enrollment that started before, in the tenant and at the time of the event."""
    started = [
        earlier["data"]
        for earlier in past
        if (earlier["type"], earlier["tenantid"])
        == ("workflow.enrollment.started", event["tenantid"])
    ]
    if not started:
        return event
    names = ("contact_id", "workflow_id", "enrollment_id")
    data = {name: value for name, value in pick(draw, started).items() if name in names}
    ended = {**data, "reason": pick(draw, ("completed", "exited", "cancelled"))}
    return {**event, "type": "workflow.enrollment.ended", "data": ended}


def _time_us(draw: st.DrawFn, number: int) -> int:
    """A time that increases with the number, with jitter, so that events are out of order and
    several have the same time."""
    jitter = draw(st.integers(-6, 6))
    return START_US + max(0, number // 2 + jitter) * SECOND_US + (number % 7 == 0)


def _started_data(
    draw: st.DrawFn, number: int, time_us: int, past: list[dict[str, Any]]
) -> dict[str, Any]:
    data: dict[str, Any] = {"pending_actions": pick(draw, (None, 0, 7))}
    if past and often(draw, 25):
        data["started_by"] = {name: pick(draw, past)[name] for name in ("source", "id")}
    if often(draw, 60):
        data["match"] = pick(draw, matching.RUN_VALUES)
    if often(draw, 40):
        earlier = draw(st.integers(-3, 8))
        data["enrolled_at"] = _written(time_us - earlier * SECOND_US, number + 1)
    return data


def _written(time_us: int, number: int) -> Any:
    """A time in the forms that are in use, with different offsets."""
    zone = timezone(timedelta(minutes=(0, 120, -210)[number % 3]))
    text = (_EPOCH + timedelta(microseconds=time_us)).astimezone(zone).isoformat()
    form = number % 8
    if form == 0:
        return text.replace("T", " ")
    if form == 1:
        return text[:-3] + text[-2:]
    if form == 2:
        unit_us = next(unit for unit in (1_000_000, 1_000, 1) if time_us % unit == 0)
        return time_us // unit_us if number % 16 == 2 else str(time_us // unit_us)
    if form == 3:
        return time_us / 1_000_000
    return text.replace("+00:00", "Z") if number % 2 else text


def _with(event: dict[str, Any], **attributes: Any) -> dict[str, Any]:
    return {**event, **attributes}


def _with_data(event: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {**event, "data": {**event["data"], **fields}}


# Changes that make a valid event invalid.
_INVALIDATIONS: tuple[Callable[[dict[str, Any]], dict[str, Any]], ...] = (
    lambda event: _with(event, time="2026-03-01T00:00:00"),
    lambda event: _with(event, time=_written(NOW_US + 25 * 3600 * SECOND_US, 0)),
    lambda event: _with(event, tenantid="t" * 257),
    lambda event: _with(event, specversion="2.0"),
    lambda event: _with(event, data=["c-1"]),
    lambda event: _with_data(event, contact_id=None),
    lambda event: _with_data(event, contact_id="erased:c-1"),
    lambda event: _with_data(_with(event, type="payment.completed"), amount="1e3"),
    lambda event: _with_data(_with(event, type="payment.completed"), line_items={}),
    lambda event: _with_data(
        _with(event, type="payment.completed"), line_items=[{"amount": "1,00"}]
    ),
    lambda event: _with_data(_with(event, type="appointment.booked"), status=1),
    lambda event: _with_data(_with(event, type="payment.refunded"), payment_id=""),
    lambda event: _with_data(_with(event, type="appointment.cancelled"), appointment_id=[]),
    lambda event: _with_data(_with(event, type="contact.tag.added"), tag_id=5.5),
    lambda event: _with_data(_with(event, type="contact.tag.added"), tags="Customer"),
    lambda event: _with_data(_with(event, type="contact.tag.added"), tags=[["Customer"]]),
    lambda event: _with_data(_with(event, type="contact.tag.added"), tags=["x"] * 501),
    lambda event: _with_data(_with(event, type="form.submitted"), form_id=""),
    lambda event: _with_data(
        _with(event, type="workflow.enrollment.started"),
        workflow_id="w-1",
        enrollment_id="e-1",
        match={"cart": ""},
    ),
    lambda event: _with_data(
        _with(event, type="workflow.enrollment.started"),
        workflow_id="w-1",
        enrollment_id="e-1",
        match={f"n{number}": "1" for number in range(5)},
    ),
)
