"""Builds the outbound messages of a commit: exits and notices, as CloudEvents."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson

from goald import _native
from goald.domain.records.exit import CANCEL, EXIT_REASON, EXIT_TYPE
from goald.domain.streams import OutboundStream
from goald.domain.times import rfc3339
from goald.ports.change import AchievementColumns, EffectColumns
from goald.ports.outbound import Message
from goald.ports.outbox import OutboxRow

SOURCE: Final = "goald"


def outbox_rows(
    effects: EffectColumns,
    achievements: AchievementColumns,
    exits: _native.Exits,
    now_us: int,
    in_flight: Mapping[int, bool] | None = None,
) -> list[OutboxRow]:
    """One row for each exit and each achievement, to be committed with its effect. `in_flight`: of
    the effects that end goald's own executions, whether a worker may be calling the provider."""
    return [
        *_exits(effects, exits, now_us, in_flight or {}),
        *_achievements(effects, achievements, now_us),
    ]


def stamped(message: Message, now_us: int) -> Message:
    """Return an exit with its time of publication added; other messages unchanged."""
    if message.stream != OutboundStream.EXITS:
        return message
    event = orjson.loads(message.payload)
    event["data"]["published_at"] = rfc3339(now_us)
    return Message(message.stream, orjson.dumps(event).decode())


def _exits(
    effects: EffectColumns, exits: _native.Exits, now_us: int, in_flight: Mapping[int, bool]
) -> Iterator[OutboxRow]:
    tenants, enrollments = effects.tenant_id, effects.enrollment_id
    contacts, workflows = effects.contact_id, effects.workflow_id
    rows = zip(
        exits.effect, exits.id, exits.goal_type, exits.goal_ids, exits.achieved_at,
        exits.event_id, exits.event_source, exits.event_type, exits.traceparent,
        exits.received_at, strict=True,
    )  # fmt: skip
    for (
        effect, exit_id, goal_type, goal_ids, achieved_at,
        event_id, source, name, traceparent, received_at,
    ) in rows:  # fmt: skip
        achieved = rfc3339(achieved_at)
        data = {
            "workflow_id": workflows[effect],
            "contact_id": contacts[effect],
            "enrollment_id": enrollments[effect],
            "exit_reason": EXIT_REASON,
            "goal_type": goal_type,
            "goal_ids": goal_ids,
            "achieved_at": achieved,
            "cancel": CANCEL,
            "trigger_event": {"id": event_id, "source": source, "type": name},
            "occurred_at": achieved,
            "received_at": rfc3339(received_at),
        }
        if effect in in_flight:
            data["action_in_flight"] = in_flight[effect]
        event = _event(EXIT_TYPE, exit_id, tenants[effect], now_us, data, traceparent)
        yield OutboxRow(effect, exit_id, OutboundStream.EXITS, event)


def _achievements(
    effects: EffectColumns, met: AchievementColumns, now_us: int
) -> Iterator[OutboxRow]:
    tenants, enrollments = effects.tenant_id, effects.enrollment_id
    contacts, workflows = effects.contact_id, effects.workflow_id
    rows = zip(
        met.effect, met.id, met.goal_id, met.goal_type, met.achieved_at,
        met.trigger_event, met.metadata, strict=True,
    )  # fmt: skip
    for effect, achievement_id, goal_id, goal_type, achieved_at, trigger, metadata in rows:
        data = {
            "id": achievement_id,
            "workflow_id": workflows[effect],
            "workflow_enrollment_id": enrollments[effect],
            "contact_id": contacts[effect],
            "goal_config_id": goal_id,
            "goal_type": goal_type,
            "achieved_at": rfc3339(achieved_at),
            "trigger_event": orjson.Fragment(trigger),
            "metadata": orjson.Fragment(metadata),
        }
        if effects.after_end[effect]:
            data["after_end"] = True
        event = _event("workflow.goal.achieved", achievement_id, tenants[effect], now_us, data)
        yield OutboxRow(effect, achievement_id, OutboundStream.NOTICES, event)


def _event(
    name: str,
    event_id: str,
    tenant_id: str,
    now_us: int,
    data: dict[str, Any],
    traceparent: str | None = None,
) -> str:
    event = {
        "specversion": "1.0",
        "id": event_id,
        "source": SOURCE,
        "type": name,
        "time": rfc3339(now_us),
        "tenantid": tenant_id,
        "datacontenttype": "application/json",
        "data": data,
    }
    if traceparent is not None:
        event["traceparent"] = traceparent
    return orjson.dumps(event).decode()
