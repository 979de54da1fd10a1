"""Explain: a dry run of one event. Returns what the event would do and why; writes nothing."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from goald import _native
from goald.domain.contacts.known import old_tags, state_of
from goald.domain.errors import InvalidEvent
from goald.domain.ids import ContactId, TenantId
from goald.domain.records.execution import Execution
from goald.domain.records.waiting import waiting_reason
from goald.domain.times import rfc3339
from goald.pipeline.explain_ended import EndedOutcomes, explain_ended
from goald.pipeline.intake import EventDefaults, intake
from goald.pipeline.shard.known.ended import KnownEnded
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
        late_us: int = 0,
    ) -> None:
        """`clock_skew_us`, `late_us` and the limit of the check must equal the shards' (E3, E5,
        E18)."""
        self._contacts = contacts
        self._start_check = start_check
        self._clock = clock
        self._clock_skew_us = clock_skew_us
        self._late_us = late_us

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
                explained = _evaluated(_native.Matcher(), event, now_us, _StoredFacts())
            except ValueError:  # it omits an attribute
                raise InvalidEvent(found.refused[0].reason) from None
            del explained["event_key"], explained["asks_contact"]
            return explained | {
                "reason": OTHER_TENANT,
                "matched": False,
                "active_enrollments": 0,
                "truncated": False,
            }
        [accepted] = found.accepted
        of_contact = TenantId(tenant), ContactId(accepted.contact)
        contact = await self._contacts.continuing(*of_contact)
        payload = accepted.payload
        if contact != accepted.contact:  # events of a merged contact count for another (E21)
            of_contact = of_contact[0], contact
            payload = _native.with_contact(payload, contact)
        starts = [] if accepted.start is None else [accepted.start.workflow]
        state = await self._contacts.read(*of_contact, starts)
        arguments = state, payload, now_us
        evaluated = await asyncio.to_thread(self._evaluated, *arguments)
        stored = await self._stored_facts(of_contact, payload, evaluated)
        if stored is not None:
            evaluated = await asyncio.to_thread(self._evaluated, *arguments, stored)
        after_end = await self._after_end(*arguments, evaluated["event_key"], stored)
        refused = await self._start_check.refused(tenant, found.accepted)
        if accepted.start is not None:
            _leave_out_repeat(evaluated, accepted.start.enrollment, state, is_refused=bool(refused))
        explained = _enriched(evaluated, state, after_end)
        for start in refused.values():
            explained["reason"] = start.reason
        return explained

    async def _stored_facts(
        self, of_contact: tuple[TenantId, ContactId], event: bytes, evaluated: dict[str, Any]
    ) -> "_StoredFacts | None":
        """The facts in Postgres about an event; None if an evaluation does not ask."""
        asked = [row["enrollment_id"] for row in evaluated["enrollments"] if _asks(row)]
        key = evaluated["event_key"]
        exclusions = await self._contacts.exclusions(*of_contact, key, asked) if asked else {}
        excluded = [(enrollment, str(reason)) for enrollment, reason in exclusions.items()]
        if not evaluated["asks_contact"]:
            return _StoredFacts(excluded) if asked else None
        contact = await self._contacts.projection(*of_contact)
        data = json.loads(event)["data"]
        known = state_of(contact, _started_by(data))
        return _StoredFacts(excluded, old_tags(contact, data, key), ("", "", *known))

    def _evaluated(
        self,
        state: ContactState,
        event: bytes,
        now_us: int,
        stored: "_StoredFacts | None" = None,
    ) -> dict[str, Any]:
        return _evaluated(self._matcher(state), event, now_us, stored or _StoredFacts())

    def _matcher(self, state: ContactState) -> _native.Matcher:
        matcher = _native.Matcher(clock_skew_us=self._clock_skew_us, late_us=self._late_us)
        matcher.update_workflows(state.workflows)
        matcher.load(state.active)
        return matcher

    async def _after_end(
        self,
        state: ContactState,
        event: bytes,
        now_us: int,
        key: str,
        stored: "_StoredFacts | None",
    ) -> EndedOutcomes:
        """Return for which ended enrollments an event counts, and why not for others (E18)."""
        if not state.ended:
            return EndedOutcomes()
        facts = stored or _StoredFacts()
        tenant, _ = _native.contact_of(event)
        matcher = self._matcher(state)
        received_ms = now_us // 1_000
        _, buffer, _ = (
            _native.Router(bytes(_native.SLOTS))
            .route([[b"%d-0" % received_ms, [b"event", event]]])
            .buffers[0]
        )

        def evaluate(known: KnownEnded) -> _native.Proposal:
            return matcher.evaluate(
                [buffer],
                now_us,
                excluded=[
                    (tenant, enrollment, key, received_ms * 1_000)
                    for enrollment, _ in facts.excluded
                ],
                old_tags=[(tenant, key, facts.old_tags)],
                ended=known.rows(),
            )

        is_truncated = matcher.stats()["enrollments"] < state.active_count
        read = self._contacts.ended
        return await explain_ended(evaluate, read, state.ended, is_truncated=is_truncated)


@dataclass(frozen=True, slots=True)
class _StoredFacts:
    """The facts in Postgres about an event, as `_native.Matcher.explain` takes it."""

    excluded: Sequence[tuple[str, str]] = ()
    old_tags: Sequence[int] = ()
    state: (
        tuple[str, str, Sequence[tuple[str | None, str | None]], Sequence[tuple[str | None, str]]]
        | None
    ) = None


def _evaluated(
    matcher: _native.Matcher, event: bytes, now_us: int, stored: _StoredFacts
) -> dict[str, Any]:
    evaluated: dict[str, Any] = orjson.loads(
        matcher.explain(
            event,
            now_us,
            excluded=stored.excluded,
            old_tags=stored.old_tags,
            state=stored.state,
        )
    )
    return evaluated


def _started_by(data: dict[str, Any]) -> str | None:
    """The key of the event that started the enrollment. The data is valid."""
    reference = data.get("started_by")
    if reference is None:
        return None
    return _native.event_key(str(reference["source"]), str(reference["id"]))


def _leave_out_repeat(
    evaluated: dict[str, Any], enrollment: str, state: ContactState, *, is_refused: bool
) -> None:
    """Leave out the enrollment that an event would start, if it exists or is refused."""
    if is_refused or any(row.id == enrollment for row in state.ended):
        evaluated["enrollments"] = [
            row for row in evaluated["enrollments"] if not row.get("starts")
        ]


def _asks(enrollment: dict[str, Any]) -> bool:
    """Whether Postgres must be asked if the event counts for this enrollment (E11)."""
    return bool(enrollment["excludes"] and any(goal["matched"] for goal in enrollment["goals"]))


def _enriched(
    explained: dict[str, Any], state: ContactState, after_end: EndedOutcomes
) -> dict[str, Any]:
    """Add criteria, RFC 3339 times, and the enrollments that have ended, newest first."""
    goals = {goal["id"]: goal for workflow in state.workflows for goal in workflow["goals"]}
    criteria = {id_: orjson.loads(goal["criteria"]) for id_, goal in goals.items()}
    logic = {workflow["workflow_id"]: workflow["goal_logic"] for workflow in state.workflows}
    del explained["event_key"], explained["asks_contact"]
    active = explained["enrollments"]
    runnable = {each["workflow_id"] for each in state.workflows if each["is_active"]}
    for enrollment in active:
        row = state.executions.get(enrollment["enrollment_id"])
        enrollment["execution"] = row and _position(row, is_active=row.workflow_id in runnable)
        del enrollment["excludes"]
        enrollment.pop("starts", None)
        enrollment["status"] = "active"
        enrollment["enrolled_at"] = rfc3339(enrollment["enrolled_at"])
        enrollment["ended_at"] = None
        enrollment["after_end"] = False
        for goal in enrollment["goals"]:
            goal["criteria"] = criteria[goal["goal_id"]]
    ended: list[dict[str, Any]] = [
        {
            "enrollment_id": row.id,
            "workflow_id": row.workflow_id,
            "status": row.status,
            "enrolled_at": rfc3339(row.enrolled_at),
            "ended_at": None if row.ended_at is None else rfc3339(row.ended_at),
            "match": row.match_values,
            "goal_logic": logic.get(row.workflow_id) if row.id in after_end.achieved else None,
            "matched": row.id in after_end.achieved,
            "completes": False,
            "after_end": row.id in after_end.achieved,
            "execution": None,
            "reason": None
            if row.id in after_end.achieved
            else after_end.reasons.get(row.id, f"enrollment {row.status}"),
            "goals": [
                {
                    "goal_id": goal,
                    "goal_type": goals[goal]["goal_type"],
                    "matched": True,
                    "achieved": True,
                    "reason": None,
                    "criteria": criteria[goal],
                }
                for goal in after_end.achieved.get(row.id, ())
            ],
        }
        for row in state.ended
    ]
    return explained | {
        "reason": None if after_end.achieved else explained["reason"],
        "matched": any(enrollment["matched"] for enrollment in active + ended),
        "enrollments": active + ended,
        "active_enrollments": state.active_count,
        "truncated": state.truncated,
    }


def _position(row: Execution, *, is_active: bool) -> dict[str, Any]:
    """The step of an execution, and when it continues. `is_active`: whether its workflow is."""
    return {
        "version": row.version,
        "status": row.status,
        "step_id": row.step_id,
        "current_step_index": row.current_step_index,
        "total_steps": row.total_steps,
        "waiting_for": row.waiting_for,
        "waiting_reason": waiting_reason(row, is_active=is_active),
        "due_at": None if row.due_at is None else rfc3339(row.due_at),
    }
