"""The oracle: what goald must have done with what was published, and what it has done.

It knows the published events, the rules, and the reference model, and nothing of goald's
insides. It looks where goald's users look: in the tables, and in `goald:exits`, where one exit
may come any number of times under one id.
"""

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgpack
import psycopg
from tests.fault.harness.history import Event, configured_model, contact_of
from tests.fault.harness.servers import Client

Key: TypeAlias = tuple[str, str]
"""Tenant and enrollment."""

_GOALS = "SELECT id::text, key FROM goald.workflow_goals"
_ENROLLMENTS = """
SELECT tenant_id, id, contact_id, workflow_id, status FROM goald.workflow_enrollments
WHERE tenant_id = ANY(%s)
"""
_ACHIEVEMENTS = """
SELECT a.tenant_id, a.workflow_enrollment_id, a.contact_id, a.workflow_id, g.key,
       (extract(epoch FROM a.achieved_at) * 1000000)::bigint, a.metadata->>'event_id'
FROM goald.workflow_goal_achievements a
JOIN goald.workflow_goals g ON g.tenant_id = a.tenant_id AND g.id = a.goal_config_id
WHERE a.tenant_id = ANY(%s)
"""


@dataclass(frozen=True)
class ExitSeen:
    """What an exit says, without what may differ between two of its publications."""

    id: str
    tenant: str
    enrollment: str
    contact: str
    workflow: str
    goals: tuple[str, ...]
    """By their keys, sorted."""
    event_id: str


@dataclass
class Observed:
    """What is there."""

    exits: dict[Key, list[ExitSeen]] = field(default_factory=lambda: defaultdict(list))
    """In the order of publication, repeats included."""
    enrollments: dict[Key, tuple[str, str, str]] = field(default_factory=dict)
    """Contact, workflow and status."""
    achievements: dict[tuple[str, str, str], list[tuple[str, str, int, str | None]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """By tenant, enrollment and goal: contact, workflow, when, by which event."""
    buried: list[tuple[str, str]] = field(default_factory=list)
    """The dead letters: the event's id and the reason."""


@dataclass(frozen=True)
class Verdict:
    """What is wrong, a phrase each. Nothing is, where all three are empty."""

    lost: list[str]
    doubled: list[str]
    unjustified: list[str]
    exits: int = 0
    """How many there had to be."""

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.unjustified)

    def __str__(self) -> str:
        named = (("lost", self.lost), ("doubled", self.doubled), ("unjustified", self.unjustified))
        return "; ".join(
            f"{len(what)} {name}: {', '.join(what[:3])}" for name, what in named if what
        )


def observe(client: Client, admin_dsn: str, tenants: Iterable[str]) -> Observed:
    """Everything of these tenants, from a Redis and a Postgres that are at rest."""
    seen = Observed()
    names = list(tenants)
    with psycopg.connect(admin_dsn) as connection:
        keys: dict[str, str] = dict(connection.execute(_GOALS).fetchall())
        for row in connection.execute(_ENROLLMENTS, [names]):
            seen.enrollments[row[0], row[1]] = (row[2], row[3], row[4])
        for row in connection.execute(_ACHIEVEMENTS, [names]):
            seen.achievements[row[0], row[1], row[4]].append((row[2], row[3], row[5], row[6]))
    for _, fields in client.xrange("goald:exits"):
        found = _exit(json.loads(fields[b"event"]), keys)
        if found.tenant in names:
            seen.exits[found.tenant, found.enrollment].append(found)
    for _, fields in client.xrange("goald:dead"):
        reason = fields[b"reason"].decode(errors="replace")
        seen.buried.append((_event_id(fields[b"event"]), reason))
    return seen


def _event_id(event: bytes) -> str:
    """The id of an event in JSON or MessagePack; what there is, where it is neither."""
    try:
        found = json.loads(event) if event[:1] == b"{" else msgpack.unpackb(event)
        return str(found["id"])
    except (ValueError, KeyError, TypeError, msgpack.UnpackException):
        return repr(event[:100])


def _exit(event: dict[str, Any], keys: dict[str, str]) -> ExitSeen:
    data = event["data"]
    return ExitSeen(
        id=event["id"],
        tenant=event["tenantid"],
        enrollment=data["enrollment_id"],
        contact=data["contact_id"],
        workflow=data["workflow_id"],
        goals=tuple(sorted(keys.get(goal, goal) for goal in data["goal_ids"])),
        event_id=data["trigger_event"]["id"],
    )


class Oracle:
    """Judges all that was published to one pair of services, round after round."""

    def __init__(self) -> None:
        self._model = configured_model()
        self._refused: set[str] = set()
        """Events that may be in goald:dead."""
        self._deleted: set[tuple[str, str]] = set()
        """Contacts of whom no payload is kept."""
        self._forgiven: set[tuple[str, str]] = set()
        self._tenants: set[str] = {tenant for tenant, _ in self._model.workflows}

    def feed(self, events: Iterable[Event]) -> None:
        """These were published after those before, in this order for each contact."""
        for event in events:
            outcome = self._model.feed(event)
            if outcome.rejected is not None:
                self._refused.add(event["id"])
            if event["type"] == "contact.deleted":
                self._deleted.add(contact_of(event))

    def feed_garbage(self, payload: bytes) -> None:
        """This was published, too, and is no event."""
        self._refused.add(_event_id(payload))

    def forgive_the_deleted(self) -> None:
        """Redis has lost data: of contacts that were deleted by now, goald has kept no exit that
        it could publish again, as it was asked to."""
        self._forgiven |= self._deleted

    def judge(self, client: Client, admin_dsn: str) -> Verdict:
        """Hold what is there against what must be. Everything must be at rest: published,
        with nothing left to read."""
        return self.compare(observe(client, admin_dsn, self._tenants))

    def compare(self, seen: Observed) -> Verdict:
        """The same for what was observed."""
        verdict = Verdict([], [], [], exits=len(self._model.exits))
        self._compare_enrollments(seen, verdict)
        self._compare_exits(seen, verdict)
        self._compare_achievements(seen, verdict)
        for event_id, reason in seen.buried:
            if event_id not in self._refused:
                verdict.lost.append(f"event {event_id} is in goald:dead: {reason}")
        return verdict

    def _compare_enrollments(self, seen: Observed, verdict: Verdict) -> None:
        for key, each in self._model.enrollments.items():
            found = seen.enrollments.get(key)
            if found is None:
                verdict.lost.append(f"enrollment {key}")
            elif found[:2] != (each.contact, each.workflow):
                verdict.unjustified.append(f"enrollment {key} is of {found[:2]}")
            elif found[2] != each.status:
                wrong = verdict.lost if found[2] == "active" else verdict.unjustified
                wrong.append(f"enrollment {key} is {found[2]}, not {each.status}")
        for key in seen.enrollments.keys() - self._model.enrollments.keys():
            verdict.unjustified.append(f"enrollment {key}")

    def _compare_exits(self, seen: Observed, verdict: Verdict) -> None:
        expected = {(each.tenant, each.enrollment): each for each in self._model.exits}
        for key, each in expected.items():
            found = seen.exits.get(key, [])
            if not found and (each.tenant, each.contact) not in self._forgiven:
                verdict.lost.append(f"exit of {key}")
            if len({one.id for one in found}) > 1:
                verdict.doubled.append(f"exit of {key}")
            right = (each.contact, each.workflow, tuple(sorted(each.goal_ids)), each.event_id)
            for one in set(found):
                said = (one.contact, one.workflow, one.goals, one.event_id)
                if said != right:
                    verdict.unjustified.append(f"exit of {key} says {said}, not {right}")
        for key in seen.exits.keys() - expected.keys():
            verdict.unjustified.append(f"exit of {key}")

    def _compare_achievements(self, seen: Observed, verdict: Verdict) -> None:
        expected = {
            (each.tenant, each.enrollment, each.goal): (
                each.contact,
                each.workflow,
                each.achieved_at_us,
                each.event_id,
            )
            for each in self._model.achievements
        }
        for key, right in expected.items():
            found = seen.achievements.get(key, [])
            if not found:
                verdict.lost.append(f"achievement {key}")
            if len(found) > 1:
                verdict.doubled.append(f"achievement {key}")
            redacted = (*right[:3], None) if (key[0], right[0]) in self._deleted else right
            if any(one not in (right, redacted) for one in found):
                verdict.unjustified.append(f"achievement {key} is {found}, not {right}")
        for key in seen.achievements.keys() - expected.keys():
            verdict.unjustified.append(f"achievement {key}")
