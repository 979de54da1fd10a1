"""A tenant's audit log, in pages."""

from typing import Annotated

from fastapi import Query
from pydantic import StringConstraints

from goald.api.auth.access import Audits, PartsOf
from goald.api.http.exact_numbers import ExactJson
from goald.api.http.pagination import PageAsked, QueryId
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
    summary="Who changed what, and what was achieved, newest first",
    operation_id="list_audit",
    response_model=AuditPage,
    responses=responses(400),
)
async def list_audit(
    caller: Audits,
    parts: PartsOf,
    page: PageAsked,
    action: Annotated[AuditAction | None, Query(description="Only what happened so.")] = None,
    actor: Annotated[Actor | None, Query(description="Only what this one did.")] = None,
    workflow_id: Annotated[
        QueryId | None, Query(description="Only of this workflow, its goals and enrollments.")
    ] = None,
    subject_id: Annotated[
        QueryId | None, Query(description="Only what happened to this one.")
    ] = None,
) -> ExactJson:
    """`since` and `until` are held against `recorded_at`. Kept for `GOALD_RETENTION`.

    With filters, 10,000 entries are looked at for one page: it may hold fewer than `limit`,
    even none, where more follow. Go on while there is a `next_cursor`.
    """
    tenant = caller.tenant_id
    filters = {
        "action": action,
        "actor": actor,
        "workflow_id": workflow_id,
        "subject_id": subject_id,
    }
    listing = page.of((int, str), "audit", tenant, *filters.values())
    found = await parts.audit.page(tenant, filters, listing.span)
    items = [AuditEntry.of(row) for row in found.rows]
    return ExactJson(AuditPage(items=items, next_cursor=listing.cursor(found.next)))
