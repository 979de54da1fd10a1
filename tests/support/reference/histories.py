"""Hypothesis strategy of whole histories: configurations, events, and how they are batched.

A history is a list of steps, `Configure` or `Batch`, over one to three tenants with few
contacts and enrollments, so that most histories achieve something and enrollments meet
every hazard: duplicates, times out of order, redeliveries, an ended before its started, an
id that comes back for another contact, deletions, goals changed between events, and
events that are refused.

    @given(histories())
    def test_the_engine_agrees(history: History) -> None:
        expected = play(history)
        ...feed history.steps to something else, and compare
"""

from collections.abc import Callable
from dataclasses import dataclass
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
# What each turn of a hundred brings, up to these bounds; the rest are events that goals
# listen to, and so are those that are then spoiled.
_STARTED, _ENDED, _DELETED, _REPEATED, _OTHER, _SPOILED = 18, 23, 25, 36, 38, 42


@dataclass(frozen=True)
class Batch:
    """Events that arrive together, in order. Decoded: what JSON and MessagePack both hold."""

    events: tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class History:
    """`now_us` is when all of it arrives: within it, only what is refused is a day ahead."""

    steps: tuple[Configure | Batch, ...]
    clock_skew_us: int
    now_us: int


def play(history: History) -> Model:
    """What the reference model makes of a history."""
    model = Model(clock_skew_us=history.clock_skew_us, now_us=history.now_us)
    for step in history.steps:
        if isinstance(step, Configure):
            model.configure(
                step.tenant, step.workflow_id, step.goal_logic, step.is_active, step.goals
            )
        else:
            for event in step.events:
                model.feed(event)
    return model


@st.composite
def histories(draw: st.DrawFn, events: int = EVENTS) -> History:
    """Histories of so many events, after a first configuration of every workflow."""
    tenants = TENANTS[: pick(draw, (1, 1, 2, 3))]
    workflows = WORKFLOWS[: pick(draw, (1, 2, 3, 4))]
    current = {
        (tenant, workflow): configure(draw, tenant, workflow)
        for tenant in tenants
        for workflow in workflows
    }
    steps: list[Configure | Batch] = list(current.values())
    past: list[dict[str, Any]] = []
    waiting: list[dict[str, Any]] = []
    for number in range(events):
        waiting.append(_event(draw, number, tenants, workflows, current, past))
        past.append(waiting[-1])
        change = often(draw, 6)
        if change or often(draw, 15):
            steps.append(Batch(tuple(waiting)))
            waiting = []
        if change:
            step = configure(draw, pick(draw, tenants), pick(draw, workflows))
            current[step.tenant, step.workflow_id] = step
            steps.append(step)
    steps.append(Batch(tuple(waiting)))
    return History(tuple(steps), pick(draw, (0, 0, 0, 2 * SECOND_US)), NOW_US)


def _event(
    draw: st.DrawFn,
    number: int,
    tenants: tuple[str, ...],
    workflows: tuple[str, ...],
    current: dict[tuple[str, str], Configure],
    past: list[dict[str, Any]],
) -> dict[str, Any]:
    # The first events of each tenant enroll, so that there is something to watch.
    turn = 0 if number < 2 * len(tenants) else draw(st.integers(0, 99))
    if _DELETED <= turn < _REPEATED:
        return pick(draw, past)
    tenant = tenants[number % len(tenants)]
    enrollment = draw(st.integers(0, len(ENROLLMENTS) - 1))
    # An enrollment has its own contact and workflow, until an id is used for another.
    contact = CONTACTS[enrollment % len(CONTACTS)]
    workflow = workflows[enrollment % len(workflows)]
    ids = {"workflow_id": workflow, "enrollment_id": ENROLLMENTS[enrollment]}
    if turn < _ENDED and often(draw, 8):
        contact = pick(draw, CONTACTS)
        ids["workflow_id"] = pick(draw, workflows)
    time_us = _time_us(draw, number)
    if turn < _STARTED:
        kind, data = "workflow.enrollment.started", _started_data(draw, number, time_us) | ids
    elif turn < _ENDED:
        reason = pick(draw, ("completed", "exited", "cancelled"))
        kind, data = "workflow.enrollment.ended", ids | {"reason": reason}
    elif turn < _DELETED:
        kind, data = "contact.deleted", {}
    elif turn < _OTHER:
        kind, data = pick(draw, ("contact.updated", "workflow.exit.acknowledged")), ids
    else:
        kind, data = matching.event(draw, current[tenant, workflow].goals)
    event = {
        "id": f"ev-{number}",
        "source": ("crm", "shop/eu")[number % 2],
        "type": kind,
        "time": _written(time_us, number),
        "tenantid": tenant,
        "data": {"contact_id": contact, **data},
    }
    if _OTHER <= turn < _SPOILED:
        return pick(draw, _SPOILERS)(event)
    return event


def _time_us(draw: st.DrawFn, number: int) -> int:
    """Time goes on with the events, but they come out of order, and several at once."""
    jitter = draw(st.integers(-6, 6))
    return START_US + max(0, number // 2 + jitter) * SECOND_US + (number % 7 == 0)


def _started_data(draw: st.DrawFn, number: int, time_us: int) -> dict[str, Any]:
    data: dict[str, Any] = {"pending_actions": pick(draw, (None, 0, 7))}
    if often(draw, 25):
        earlier = draw(st.integers(-3, 8))
        data["enrolled_at"] = _written(time_us - earlier * SECOND_US, number + 1)
    return data


def _written(time_us: int, number: int) -> str:
    """The same moment is written in several ways."""
    zone = timezone(timedelta(minutes=(0, 120, -210)[number % 3]))
    moment = (_EPOCH + timedelta(microseconds=time_us)).astimezone(zone)
    text = moment.isoformat()
    return text.replace("+00:00", "Z") if number % 2 else text


def _with(event: dict[str, Any], **attributes: Any) -> dict[str, Any]:
    return {**event, **attributes}


def _with_data(event: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {**event, "data": {**event["data"], **fields}}


# Ways to spoil an event that a goal listens to: each is refused, whatever it says.
_SPOILERS: tuple[Callable[[dict[str, Any]], dict[str, Any]], ...] = (
    lambda event: _with(event, time="2026-03-01T00:00:00"),
    lambda event: _with(event, time=_written(NOW_US + 25 * 3600 * SECOND_US, 0)),
    lambda event: _with(event, tenantid="t" * 129),
    lambda event: _with(event, specversion="2.0"),
    lambda event: _with(event, data=["c-1"]),
    lambda event: _with_data(event, contact_id=None),
    lambda event: _with_data(_with(event, type="payment.completed"), amount="1e3"),
    lambda event: _with_data(_with(event, type="payment.completed"), line_items={}),
    lambda event: _with_data(_with(event, type="contact.tag.added"), tag_id=5),
    lambda event: _with_data(_with(event, type="form.submitted"), form_id=""),
)
