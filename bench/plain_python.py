"""A matcher in plain Python, for comparison with the native matcher.

It decodes MessagePack with msgpack and matches with dictionaries, by the same rules for the
workload of the benchmark, and returns a proposal with the same attributes. It does not check
limits and duplicate keys, so the comparison favours it.
"""

import json
import struct
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace
from typing import Any, cast

import msgpack
from ray.actor import ActorHandle

from goald import _native
from goald.pipeline.shard.evaluate import Evaluator
from goald.runtime.actors.ray_actors import ShardActor, named_actor, shard_name
from goald.runtime.processes.shard import ShardSettings
from goald.runtime.wiring.daemon import Endpoints, shard_process

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
_HEADER = struct.Struct("<BI")
_ENTRY = struct.Struct("<QQI")
_LISTENS = {
    "tag_added": "contact.tag.added",
    "purchase_made": "payment.completed",
    "appointment_booked": "appointment.booked",
    "form_submitted": "form.submitted",
    "pipeline_stage_reached": "pipeline.stage.changed",
}


class PlainMatcher:
    """The part of `_native.Matcher` that the bench needs, in plain Python."""

    def __init__(self) -> None:
        self._goals: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = {}
        self._contacts: dict[tuple[str, str], dict[str, tuple[str, int]]] = {}
        self._rows = bytearray()
        self._ended = True

    def update_workflows(self, workflows: Sequence[dict[str, Any]]) -> None:
        for workflow in workflows:
            goals: dict[str, list[dict[str, Any]]] = {}
            for goal in sorted(workflow["goals"], key=lambda g: (g["created_at"], g["position"])):
                parsed = {**goal, "criteria": json.loads(goal["criteria"])}
                if "min_amount" in parsed["criteria"]:
                    parsed["criteria"]["min_amount"] = Decimal(
                        str(parsed["criteria"]["min_amount"])
                    )
                goals.setdefault(_LISTENS[goal["goal_type"]], []).append(parsed)
            self._goals[workflow["tenant_id"], workflow["workflow_id"]] = goals

    def load(self, rows: bytes) -> int:
        self._rows += rows
        self._ended = self._rows.endswith(b"\xff\xff")
        if not self._ended:
            return 0
        data, at, taken = bytes(self._rows), 19, 0
        self._rows.clear()
        while data[at : at + 2] != b"\xff\xff":
            at += 2
            fields = []
            for _ in range(8):
                (length,) = struct.unpack_from(">i", data, at)
                fields.append(data[at + 4 : at + 4 + length])
                at += 4 + length
            tenant, enrollment, contact, workflow = (field.decode() for field in fields[:4])
            enrollments = self._contacts.setdefault((tenant, contact), {})
            enrollments[enrollment] = (workflow, int.from_bytes(fields[4], "big", signed=True))
            taken += 1
        return taken

    def load_ended(self) -> bool:
        return self._ended

    def evaluate(self, buffers: Sequence[bytes], now_us: int, **limits: Any) -> Any:
        types: Counter[str] = Counter()
        effects = _columns(_native.Effects)
        achievements = _columns(_native.Achievements)
        exits = _columns(_native.Exits)
        ended: set[tuple[str, str, str]] = set()
        events = 0
        for buffer in buffers:
            _, count = _HEADER.unpack_from(buffer, 0)
            at = _HEADER.size
            for _ in range(count):
                milliseconds, _, length = _ENTRY.unpack_from(buffer, at)
                at += _ENTRY.size
                event = msgpack.unpackb(buffer[at : at + length])
                at += length
                events += 1
                types[event["type"]] += 1
                data, tenant = event["data"], event["tenantid"]
                time = (datetime.fromisoformat(event["time"]) - _EPOCH) // _US
                enrollments = self._contacts.get((tenant, data["contact_id"]))
                if enrollments is None:
                    continue
                for enrollment, (workflow, enrolled_at) in enrollments.items():
                    goal = self._matched(event["type"], tenant, workflow, data, time, enrolled_at)
                    key = (tenant, data["contact_id"], enrollment)
                    if goal is None or key in ended:
                        continue
                    ended.add(key)
                    index = len(effects.tenant_id)
                    _append(
                        effects,
                        tenant_id=tenant,
                        enrollment_id=enrollment,
                        contact_id=data["contact_id"],
                        workflow_id=workflow,
                        slot=_native.slot_of(tenant, data["contact_id"]),
                        is_new=False,
                        status="completed_goal",
                        enrolled_at=enrolled_at,
                        ended_at=time,
                        met_goals=[goal["id"]],
                        pending_actions=None,
                    )
                    metadata = {"event_id": event["id"], "source": event["source"]}
                    _append(
                        achievements,
                        effect=index,
                        id=_native.achievement_id(tenant, enrollment, goal["id"]),
                        goal_id=goal["id"],
                        goal_type=goal["goal_type"],
                        achieved_at=time,
                        trigger_event=json.dumps(data),
                        metadata=json.dumps(metadata),
                    )
                    _append(
                        exits,
                        effect=index,
                        id=_native.exit_id(tenant, enrollment),
                        goal_type=goal["goal_type"],
                        goal_ids=[goal["id"]],
                        achieved_at=time,
                        event_id=event["id"],
                        event_source=event["source"],
                        event_type=event["type"],
                        traceparent=None,
                        received_at=milliseconds * 1000,
                    )
        proposal = SimpleNamespace(
            events=events,
            ignored=0,
            deferred=[],
            deferred_events=0,
            events_by_type=dict(types),
            changes_nothing=not effects.tenant_id,
            effects=effects,
            achievements=achievements,
            exits=exits,
            deletions=[],
            acknowledgements=[],
            rejects=[],
            rejects_given_owners=lambda owners: [],
            contender_is_owner=lambda effect, contact, workflow: False,
            halves=lambda: None,
        )
        proposal.slices = lambda max_effects, max_bytes: [proposal]
        return proposal

    def _matched(
        self, name: str, tenant: str, workflow: str, data: Any, time: int, enrolled_at: int
    ) -> dict[str, Any] | None:
        goals = self._goals[tenant, workflow].get(name)
        if goals is None or time < enrolled_at:
            return None
        for goal in goals:
            if time < goal["effective_from"]:
                continue
            criteria = goal["criteria"]
            if goal["goal_type"] == "tag_added":
                if data.get("tag_name") == criteria["tag_name"]:
                    return goal
            elif goal["goal_type"] == "purchase_made":
                if Decimal(data["amount"]) >= criteria["min_amount"]:
                    return goal
            elif data.get("calendar_id") == criteria["calendar_id"]:
                return goal
        return None

    def apply(self, proposal: Any, effective: bytes) -> None:
        effects = proposal.effects
        rows = zip(effects.tenant_id, effects.contact_id, effects.enrollment_id, strict=True)
        for (tenant, contact, enrollment), took in zip(rows, effective, strict=True):
            if took:
                self._contacts[tenant, contact].pop(enrollment, None)

    def stats(self) -> dict[str, int]:
        count = sum(map(len, self._contacts.values()))
        return {"enrollments": count, "listeners": count, "bytes": 0}


class PlainShardActor(ShardActor):
    """A shard's actor over `PlainMatcher`."""

    def make_process(self, settings: ShardSettings, endpoints: Endpoints) -> Any:
        matcher = cast("_native.Matcher", PlainMatcher())
        return shard_process(
            settings, endpoints, lambda store: Evaluator(store, clock_skew_us=0, matcher=matcher)
        )


def make_plain_shard(settings: ShardSettings, endpoints: Endpoints) -> "ActorHandle[Any]":
    return named_actor(PlainShardActor, shard_name(settings.index), settings, endpoints)


def _columns(of: Any) -> Any:
    names = [name for name in dir(of) if not name.startswith("_")]
    return SimpleNamespace(**{name: [] for name in names})


def _append(columns: Any, **row: Any) -> None:
    for name, value in row.items():
        getattr(columns, name).append(value)
