"""Enrollments that begin and end, for platforms that would rather call than publish. Both
become events on the streams, and take effect as those do (3.4, E5)."""

from typing import Any

import orjson
from fastapi import Request, Response

from goald.api.auth.access import PartsOf, Writes
from goald.api.dependencies import Dependencies
from goald.api.http.idempotency import REPLAYED_HEADER, Key, once
from goald.api.http.paths import PathId
from goald.api.http.routing import Router
from goald.api.models.events import EnrollmentEnd, EventMade, NewEnrollment
from goald.api.problems import BadRequest, ConflictProblem, NotFoundProblem, responses
from goald.api.publishing import units
from goald.domain.derived_ids import derived_id
from goald.domain.times import rfc3339
from goald.pipeline.intake import intake

SOURCE = "goald/api"

router = Router()


@router.post(
    "/api/v1/workflows/{workflow_id}/enrollments",
    tags=["events"],
    summary="Say that a contact was enrolled",
    operation_id="start_enrollment",
    status_code=202,
    response_model=EventMade,
    responses={202: {"headers": REPLAYED_HEADER}, **responses(409)},
)
async def start_enrollment(
    request: Request,
    parts: PartsOf,
    caller: Writes,
    workflow_id: PathId,
    body: NewEnrollment,
    key: Key = None,
) -> Response:
    """Publishes `workflow.enrollment.started`. A repeat is the same event and changes nothing;
    so does one for an enrollment that is known already. The workflow may be unknown or inactive.
    """
    data = body.model_dump(exclude_none=True) | {"workflow_id": workflow_id}

    async def start() -> EventMade:
        return await _publish(parts, caller.tenant_id, "workflow.enrollment.started", data)

    return await once(request, parts, caller, key, 202, start)


@router.post(
    "/api/v1/workflows/{workflow_id}/enrollments/{enrollment_id}/end",
    tags=["events"],
    summary="Say that an enrollment has ended",
    operation_id="end_enrollment",
    status_code=202,
    response_model=EventMade,
    responses={202: {"headers": REPLAYED_HEADER}, **responses(404, 409)},
)
async def end_enrollment(
    request: Request,
    parts: PartsOf,
    caller: Writes,
    workflow_id: PathId,
    enrollment_id: PathId,
    body: EnrollmentEnd,
    key: Key = None,
) -> Response:
    """Publishes `workflow.enrollment.ended`. What has ended before stays as it is. 404 for an
    enrollment that is not known, unless `contact_id` is given, and for one of another workflow;
    409 for one of another contact.
    """

    async def end() -> EventMade:
        tenant = caller.tenant_id
        contact = await _contact(parts, tenant, workflow_id, enrollment_id, body.contact_id)
        data = {
            "contact_id": contact,
            "workflow_id": workflow_id,
            "enrollment_id": enrollment_id,
            "reason": body.reason,
        }
        return await _publish(parts, tenant, "workflow.enrollment.ended", data)

    return await once(request, parts, caller, key, 202, end)


async def _contact(
    parts: Dependencies, tenant: str, workflow_id: str, enrollment_id: str, given: str | None
) -> str:
    """Whose the enrollment is. It may be on its way: then it is the contact's that is given."""
    known = await parts.contacts.enrollment(tenant, enrollment_id)
    if known is None and given is not None:
        return given
    if known is None or known.workflow_id != workflow_id:
        raise NotFoundProblem(
            f"There is no enrollment {enrollment_id} in the workflow {workflow_id}"
        )
    if given not in (None, known.contact_id):
        raise ConflictProblem(f"The enrollment {enrollment_id} is another contact's")
    return known.contact_id


async def _publish(parts: Dependencies, tenant: str, kind: str, data: dict[str, Any]) -> EventMade:
    """One event, under an id that is made of what it says happened to whom."""
    now_us = parts.clock.now_us()
    event_id = str(
        derived_id(tenant, kind, data["workflow_id"], data["enrollment_id"], data["contact_id"])
    )
    event = {
        "specversion": "1.0",
        "id": event_id,
        "source": SOURCE,
        "type": kind,
        "time": rfc3339(now_us),
        "tenantid": tenant,
        "data": data,
    }
    found = intake(orjson.dumps(event), tenant, now_us)
    if found.refused:
        raise BadRequest(found.refused[0].reason)
    await parts.quotas.events(tenant, units(found.accepted))
    await parts.events.publish(tenant, found.accepted)
    return EventMade(event_id=event_id, type=kind)
