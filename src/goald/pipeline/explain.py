"""Explain: a dry run of one event. Returns what the event would do and why; writes nothing."""

import asyncio
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

import orjson

from goald import _native
from goald.domain.errors import InvalidEvent
from goald.domain.ids import ContactId, TenantId
from goald.domain.times import rfc3339
from goald.pipeline.intake import EventDefaults, intake
from goald.pipeline.start_check import StartCheck
from goald.ports.clock import Clock
from goald.ports.contacts import ContactReader, ContactState

OTHER_TENANT: Final = "other tenant's"
_DEFAULTS: Final = EventDefaults("goald/explain", "explain")


class Explain:
    """Evaluates one event with the matcher that shards use, loaded with the event's contact.

    It sees committed state. A shard applies a configuration change some milliseconds later.
    Neither sees events that are not acknowledged yet.
    """

    def __init__(
        self,
        contacts: ContactReader,
        start_check: StartCheck,
        clock: Clock,
        *,
        clock_skew_us: int = 0,
    ) -> None:
        """`clock_skew_us` and the limit of the check must equal the shards' (E3, E5)."""
        self._contacts = contacts
        self._start_check = start_check
        self._clock = clock
        self._clock_skew_us = clock_skew_us

    async def explain(self, tenant: str, event: bytes) -> dict[str, Any]:
        """Evaluate one event of this tenant, as JSON, against each enrollment of its contact.

        Returns what `api.models.explain.Explanation` describes. The matcher runs in a thread,
        without Python's lock. For an event that names another
        tenant, nothing is looked up (D8). Raises InvalidEvent, with the reason, if goald would
        refuse the event, and ServiceUnavailable.
        """
        now_us = self._clock.now_us()
        if event.lstrip()[:1] == b"[":  # not decoded: a list may have 1,000 events
            raise InvalidEvent("only one event can be explained at a time")
        found = intake(event, tenant, now_us, _DEFAULTS)
        if found.refused:
            if not found.refused[0].names_other_tenant:
                raise InvalidEvent(found.refused[0].reason)
            try:
                explained = _evaluated(_native.Matcher(), event, now_us)
            except ValueError:  # it omits an attribute
                raise InvalidEvent(found.refused[0].reason) from None
            del explained["event_key"]
            return explained | {
                "reason": OTHER_TENANT,
                "matched": False,
                "active_enrollments": 0,
                "truncated": False,
            }
        [accepted] = found.accepted
        of_contact = TenantId(tenant), ContactId(accepted.contact)
        state = await self._contacts.read(*of_contact)
        arguments = state, accepted.payload, now_us
        evaluated = await asyncio.to_thread(self._evaluated, *arguments)
        if asked := [row["enrollment_id"] for row in evaluated["enrollments"] if _asks(row)]:
            exclusions = await self._contacts.exclusions(*of_contact, evaluated["event_key"], asked)
            evaluated = await asyncio.to_thread(self._evaluated, *arguments, exclusions)
        explained = _enriched(evaluated, state)
        for start in (await self._start_check.refused(tenant, found.accepted)).values():
            explained["reason"] = start.reason
        return explained

    def _evaluated(
        self,
        state: ContactState,
        event: bytes,
        now_us: int,
        exclusions: Mapping[str, str] = MappingProxyType({}),
    ) -> dict[str, Any]:
        matcher = _native.Matcher(clock_skew_us=self._clock_skew_us)
        matcher.update_workflows(state.workflows)
        matcher.load(state.active)
        return _evaluated(matcher, event, now_us, exclusions)


def _evaluated(
    matcher: _native.Matcher,
    event: bytes,
    now_us: int,
    exclusions: Mapping[str, str] = MappingProxyType({}),
) -> dict[str, Any]:
    excluded = [(enrollment, str(reason)) for enrollment, reason in exclusions.items()]
    evaluated: dict[str, Any] = orjson.loads(matcher.explain(event, now_us, excluded=excluded))
    return evaluated


def _asks(enrollment: dict[str, Any]) -> bool:
    """Whether Postgres must be asked if the event counts for this enrollment (E11)."""
    return bool(enrollment["excludes"] and any(goal["matched"] for goal in enrollment["goals"]))


def _enriched(explained: dict[str, Any], state: ContactState) -> dict[str, Any]:
    """Add criteria, RFC 3339 times, and the enrollments that have ended, newest first."""
    criteria = {
        goal["id"]: orjson.loads(goal["criteria"])
        for workflow in state.workflows
        for goal in workflow["goals"]
    }
    del explained["event_key"]
    active = explained["enrollments"]
    for enrollment in active:
        del enrollment["excludes"]
        enrollment["status"] = "active"
        enrollment["enrolled_at"] = rfc3339(enrollment["enrolled_at"])
        enrollment["ended_at"] = None
        for goal in enrollment["goals"]:
            goal["criteria"] = criteria[goal["goal_id"]]
    ended: list[dict[str, Any]] = [
        {
            "enrollment_id": row.id,
            "workflow_id": row.workflow_id,
            "status": row.status,
            "enrolled_at": rfc3339(row.enrolled_at),
            "ended_at": None if row.ended_at is None else rfc3339(row.ended_at),
            "goal_logic": None,
            "matched": False,
            "completes": False,
            "reason": f"enrollment {row.status}",
            "goals": [],
        }
        for row in state.ended
    ]
    return explained | {
        "matched": any(enrollment["matched"] for enrollment in active),
        "enrollments": active + ended,
        "active_enrollments": state.active_count,
        "truncated": state.truncated,
    }
