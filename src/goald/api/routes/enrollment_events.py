"""The start and end of enrollments over HTTP. Both become events on the streams (E5)."""

from typing import Any

import orjson
from fastapi import Response

from goald.api.admission.starts import start_problem
from goald.api.auth.access import Writes
from goald.api.dependencies import Dependencies, Deps, Metrics
from goald.api.http.idempotency import REPLAYED_HEADER, Idempotent
from goald.api.http.paths import PathId
from goald.api.http.routing import Router
from goald.api.models.events import EnrollmentEnd, NewEnrollment, PublishedEvent
from goald.api.problems import (
    BadRequest,
    ConflictProblem,
    NotFoundProblem,
    responses,
)
from goald.api.publishing import payload_bytes, size_units, units
from goald.domain.derived_ids import derived_id
from goald.domain.ids import ContactId, TenantId
from goald.domain.records.erasure import PSEUDONYM_PREFIX
from goald.domain.times import rfc3339
from goald.metrics.api import ApiMetrics
from goald.pipeline.intake import intake

SOURCE = "goald/api"

router = Router()


@router.post(
    "/api/v1/workflows/{workflow_id}/enrollments",
    tags=["events"],
    summary="Start an enrollment",
    operation_id="start_enrollment",
    status_code=202,
    response_model=PublishedEvent,
    responses={202: {"headers": REPLAYED_HEADER}, **responses(409)},
)
async def start_enrollment(
    deps: Deps,
    metrics: Metrics,
    caller: Writes,
    workflow_id: PathId,
    body: NewEnrollment,
    idempotent: Idempotent,
) -> Response:
    """Publishes `workflow.enrollment.started`. A repeated request publishes the same event and
    changes nothing, and so does a request for a known enrollment. The workflow may be unknown or
    inactive. 409 with the type urn:goald:problem:enrollment-limit if the contact has reached the
    limit of active enrollments. A start that passes this check is still dead-lettered if starts
    that were sent before it, and are not processed yet, reach the limit.
    """
    data = body.model_dump(exclude_none=True) | {"workflow_id": workflow_id}

    async def start() -> PublishedEvent:
        kind = "workflow.enrollment.started"
        return await _publish(deps, metrics, caller.tenant_id, kind, data)

    return await idempotent.execute(caller, 202, start)


@router.post(
    "/api/v1/workflows/{workflow_id}/enrollments/{enrollment_id}/end",
    tags=["events"],
    summary="End an enrollment",
    operation_id="end_enrollment",
    status_code=202,
    response_model=PublishedEvent,
    responses={202: {"headers": REPLAYED_HEADER}, **responses(404, 409)},
)
async def end_enrollment(
    deps: Deps,
    metrics: Metrics,
    caller: Writes,
    workflow_id: PathId,
    enrollment_id: PathId,
    body: EnrollmentEnd,
    idempotent: Idempotent,
) -> Response:
    """Publishes `workflow.enrollment.ended`. An enrollment that has ended before does not change.
    404 for an unknown enrollment without `contact_id`, and for an enrollment of another workflow;
    409 for an enrollment of another contact, and without `contact_id` for one whose contact was
    deleted.
    """

    async def end() -> PublishedEvent:
        tenant = caller.tenant_id
        contact = await _contact(deps, tenant, workflow_id, enrollment_id, body.contact_id)
        data = {
            "contact_id": contact,
            "workflow_id": workflow_id,
            "enrollment_id": enrollment_id,
            "reason": body.reason,
        }
        return await _publish(deps, metrics, tenant, "workflow.enrollment.ended", data)

    return await idempotent.execute(caller, 202, end)


async def _contact(
    deps: Dependencies, tenant: str, workflow_id: str, enrollment_id: str, given: str | None
) -> str:
    """Return the contact of the enrollment, or `given` if the enrollment is not known yet."""
    known = await deps.readers.enrollments.enrollment(tenant, enrollment_id)
    if known is None and given is not None:
        return given
    if known is None or known.workflow_id != workflow_id:
        raise NotFoundProblem(
            f"There is no enrollment {enrollment_id} in the workflow {workflow_id}"
        )
    if known.contact_id.startswith(PSEUDONYM_PREFIX):
        if given is None:
            raise ConflictProblem(
                f"The contact of the enrollment {enrollment_id} was deleted, and the enrollment "
                "has ended. Name the contact in contact_id to end it nevertheless"
            )
        return given  # whether it was this contact's is known where the event is processed
    if given is not None and not await _is_same(deps, tenant, given, known.contact_id):
        raise ConflictProblem(f"The enrollment {enrollment_id} belongs to another contact")
    return known.contact_id


async def _is_same(deps: Dependencies, tenant: str, given: str, owner: str) -> bool:
    """Whether both ids are of one contact, because contacts were merged (E21)."""
    if given == owner:
        return True
    read = deps.readers.enrollments.continuing
    ends = [await read(TenantId(tenant), ContactId(each)) for each in (given, owner)]
    return ends[0] == ends[1]


async def _publish(
    deps: Dependencies, metrics: ApiMetrics, tenant: str, kind: str, data: dict[str, Any]
) -> PublishedEvent:
    """Publish one event. Its id is derived from its content, so that a repeat is the same event."""
    now_us = deps.clock.now_us()
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
    cost = units(found.accepted)
    await deps.access.quotas.events(tenant, cost)
    metrics.count_units(size_units(found.accepted), cost)
    _, refused = await deps.events.starts.admit(tenant, found.accepted)
    if refused:
        raise start_problem(refused[0])
    await deps.access.quotas.bytes(tenant, payload_bytes(found.accepted))
    await deps.events.publisher.publish(tenant, found.accepted)
    return PublishedEvent(event_id=event_id, type=kind)
