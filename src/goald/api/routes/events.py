"""Events over HTTP, for producers that would rather call than publish (3.4)."""

from typing import Any

from fastapi import Response

from goald.api.auth.access import EventWriter, PartsOf
from goald.api.http.bodies import StrictRequest
from goald.api.http.events_body import JSON, MANY, ONE, documented, taken
from goald.api.http.idempotency import REPLAYED_HEADER, Key, once
from goald.api.http.routing import Router
from goald.api.models.events import EVENT_REF, EVENTS, EventsTaken, RefusedEventAnswer
from goald.api.problems import BadRequest, responses
from goald.api.publishing import units
from goald.pipeline.intake import Intake

router = Router()

_BODY = documented({JSON: {"anyOf": [EVENT_REF, EVENTS]}, ONE: EVENT_REF, MANY: EVENTS})


@router.post(
    "/api/v1/events",
    tags=["events"],
    summary="Send one event, or up to 1,000",
    operation_id="send_events",
    status_code=202,
    response_model=EventsTaken,
    responses={202: {"headers": REPLAYED_HEADER}, **responses(409)},
    openapi_extra=_BODY,
)
async def send_events(
    request: StrictRequest, parts: PartsOf, caller: EventWriter, key: Key = None
) -> Response:
    """Takes what goald can read, and tells which events it refused and why. 202 means that
    what was accepted is on the streams, in the order of the list. 400 where none was accepted:
    `refused` says why. 503 promises nothing: send the same again, which changes nothing twice,
    since an event is known by its `id` and `source`.

    The tenant is the caller's: an event may leave `tenantid` out, and one that names another
    is refused.
    """

    async def send() -> EventsTaken:
        found = await taken(request, caller.tenant_id, parts.clock.now_us())
        if not found.accepted:
            raise _none_taken(found)
        await parts.quotas.events(caller.tenant_id, units(found.accepted))
        await parts.events.publish(caller.tenant_id, found.accepted)
        return EventsTaken(accepted=len(found.accepted), refused=_refused(found))

    return await once(request, parts, caller, key, 202, send)


def _none_taken(found: Intake) -> BadRequest:
    refused: list[dict[str, Any]] = [row.model_dump(exclude_none=True) for row in _refused(found)]
    detail = refused[0]["reason"] if len(refused) == 1 else "None of the events can be taken"
    return BadRequest(detail, refused=refused)


def _refused(found: Intake) -> list[RefusedEventAnswer]:
    return [
        RefusedEventAnswer(index=row.index, id=row.id, reason=row.reason) for row in found.refused
    ]
