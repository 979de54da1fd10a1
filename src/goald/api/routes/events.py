"""Events over HTTP, and the dry run of an event."""

from collections.abc import Sequence
from dataclasses import replace

from fastapi import Response

from goald.api.admission.starts import start_problem
from goald.api.auth.access import EXECUTIONS_SCOPE, EventWriter, Reads
from goald.api.auth.event_permissions import permitted
from goald.api.dependencies import Deps, Metrics
from goald.api.http.bodies import StrictRequest
from goald.api.http.event_defaults import event_defaults
from goald.api.http.events_body import (
    BATCH,
    JSON,
    SINGLE,
    documented,
    event_bytes,
    read_events,
    without_ignored,
)
from goald.api.http.explanation import explanation_json, explanation_requests
from goald.api.http.idempotency import REPLAYED_HEADER, Idempotent
from goald.api.http.routing import Router
from goald.api.models.events import (
    EVENT_REF,
    EVENTS,
    EventsAccepted,
    IgnoredType,
    RefusedEventAnswer,
)
from goald.api.models.explain import Explanation
from goald.api.problems import BadRequest, Problem, responses
from goald.api.publishing import payload_bytes, size_units, units
from goald.domain.event_types import nearest_type
from goald.pipeline.intake import AcceptedEvent, Intake, RefusedEvent

router = Router()


@router.post(
    "/api/v1/events",
    tags=["events"],
    summary="Send one event, or up to 1,000",
    operation_id="send_events",
    status_code=202,
    response_model=EventsAccepted,
    responses={202: {"headers": REPLAYED_HEADER}, **responses(409)},
    openapi_extra=documented(
        {JSON: {"anyOf": [EVENT_REF, EVENTS]}, SINGLE: EVENT_REF, BATCH: EVENTS}
    ),
)
async def send_events(
    request: StrictRequest,
    deps: Deps,
    metrics: Metrics,
    caller: EventWriter,
    idempotent: Idempotent,
) -> Response:
    """Accepts the valid events and returns a reason for each refused one. After a 202, the
    accepted events are on the streams, in the order of the list. Events of a type without effect
    are accepted and ignored: they are counted and not published. `ignored_types` lists their types,
    with the nearest known type for a type that seems misspelt.

    400 if no event was accepted; `refused` has the reasons. 409 with the type
    urn:goald:problem:enrollment-limit if all of them are starts of enrollments of contacts that
    have reached the limit of active enrollments. After a 503, some events may have been
    accepted: send the same request again, which changes nothing twice, because `id` and `source`
    identify an event.

    The tenant is the caller's: `tenantid` may be absent, and another tenant is refused. Of a
    signed request, events of other types or sources than those of the webhook are refused.

    An event may omit its `time`, which is then the time of arrival, its `source`, and its `id`. An
    event without an `id` is a new one each time it is sent, unless the request is repeated with its
    `Idempotency-Key`, or is the same signed webhook.
    """

    async def send() -> EventsAccepted:
        defaults = await event_defaults(request, caller)
        found, not_granted = permitted(
            await read_events(request, caller.tenant_id, deps.clock.now_us(), defaults), caller
        )
        metrics.count_not_granted(not_granted)
        if not found.accepted:
            metrics.count_events(0, 0, len(found.refused))
            raise _nothing_accepted(found, [])
        cost = units(found.accepted)
        await deps.access.quotas.events(caller.tenant_id, cost)
        metrics.count_units(size_units(found.accepted), cost)
        admitted, refused = await deps.events.starts.admit(caller.tenant_id, found.accepted)
        found = _without(found, admitted, refused)
        if not admitted:
            metrics.count_events(0, 0, len(found.refused))
            raise _nothing_accepted(found, refused)
        published, ignored = without_ignored(admitted)
        if published:
            await deps.access.quotas.bytes(caller.tenant_id, payload_bytes(published))
            await deps.events.publisher.publish(caller.tenant_id, published)
        metrics.count_events(len(published), ignored.total(), len(found.refused))
        return EventsAccepted(
            accepted=len(found.accepted),
            ignored=ignored.total(),
            ignored_types=[IgnoredType(type=name, nearest=nearest_type(name)) for name in ignored],
            refused=_refused(found),
        )

    return await idempotent.execute(caller, 202, send)


@router.post(
    "/api/v1/explain",
    tags=["events"],
    summary="Evaluate an event without any effect",
    operation_id="explain_event",
    response_model=Explanation,
    openapi_extra=documented({JSON: EVENT_REF, SINGLE: EVENT_REF}),
)
async def explain_event(request: StrictRequest, deps: Deps, caller: Reads) -> Response:
    """Evaluates one event against the committed state: every enrollment of its contact and every
    goal of their workflows, with the reason if a goal does not match. Writes nothing. 400, with the
    reason, for an event that would be refused. An event of another tenant is not looked up.

    The request counts once per started 50 enrollments and goals in the response. A process
    explains one event of a tenant at a time: 429 after a second if earlier ones are not done.
    """
    event = await event_bytes(request, JSON, SINGLE)
    async with deps.events.explain_places.taken_by(caller.tenant_id):
        found = await deps.events.explainer.explain(caller.tenant_id, event)
        # The request itself is counted already.
        await deps.access.quotas.work(caller.tenant_id, explanation_requests(found) - 1)
        if EXECUTIONS_SCOPE not in caller.scopes:
            for enrollment in found["enrollments"]:
                enrollment["execution"] = None
        return Response(await explanation_json(found), media_type=JSON)


def _without(
    found: Intake, admitted: Sequence[AcceptedEvent], starts: Sequence[RefusedEvent]
) -> Intake:
    """Move the refused starts to the refused events, in the order of the request."""
    if not starts:
        return found
    refused = sorted([*found.refused, *starts], key=lambda event: event.index)
    return replace(found, accepted=admitted, refused=refused)


def _nothing_accepted(found: Intake, starts: Sequence[RefusedEvent]) -> Problem:
    refused = [row.model_dump(exclude_none=True) for row in _refused(found)]
    detail = str(refused[0]["reason"]) if len(refused) == 1 else "None of the events is valid"
    if len(starts) == len(refused):
        return start_problem(starts[0], refused=refused)
    return BadRequest(detail, refused=refused)


def _refused(found: Intake) -> list[RefusedEventAnswer]:
    return [
        RefusedEventAnswer(index=event.index, id=event.id, reason=event.reason)
        for event in found.refused
    ]
