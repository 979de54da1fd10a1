"""The audit log of a tenant."""

from typing import Annotated

from fastapi import Query
from pydantic import StringConstraints

from goald.api.auth.access import Audits
from goald.api.dependencies import Deps
from goald.api.http.exact_json import ExactJson
from goald.api.http.pagination import QueryId, RequestedPage
from goald.api.http.routing import Router
from goald.api.models.audit import AuditEntry, AuditPage
from goald.api.problems import responses
from goald.domain.audit.record import AuditAction

router = Router()

Actor = Annotated[
    str,
    StringConstraints(min_length=1, max_length=256, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$"),
]


@router.get(
    "/api/v1/audit",
    tags=["audit"],
    summary="List changes and achievements, newest first",
    operation_id="list_audit",
    response_model=AuditPage,
    responses=responses(400),
)
async def list_audit(
    caller: Audits,
    deps: Deps,
    page: RequestedPage,
    action: Annotated[
        AuditAction | None, Query(description="Only entries with this action.")
    ] = None,
    actor: Annotated[Actor | None, Query(description="Only entries of this actor.")] = None,
    workflow_id: Annotated[
        QueryId | None,
        Query(description="Only entries of this workflow, its goals and its enrollments."),
    ] = None,
    subject_id: Annotated[
        QueryId | None, Query(description="Only entries about the object with this id.")
    ] = None,
) -> ExactJson:
    """`since` and `until` filter by `recorded_at`. Entries are kept for `GOALD_RETENTION`.

    With filters, a page examines 10,000 entries. It may have fewer items than `limit`, or none,
    although more pages follow: continue while there is a `next_cursor`.
    """
    tenant = caller.tenant_id
    filters = {
        "action": action,
        "actor": actor,
        "workflow_id": workflow_id,
        "subject_id": subject_id,
    }
    listing = page.of((int, str), "audit", tenant, *filters.values())
    async with deps.readers.places.taken_by(tenant):
        found = await deps.readers.audit.page(tenant, filters, listing.span)
        items = [AuditEntry.of(row) for row in found.rows]
        return ExactJson(AuditPage(items=items, next_cursor=listing.cursor(found.next)))
