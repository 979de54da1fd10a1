"""A workflow's enrollments, in pages."""

from typing import Annotated

from fastapi import Query

from goald.api.auth.access import PartsOf, Reads
from goald.api.http.pagination import PageAsked, QueryId
from goald.api.http.paths import PathId
from goald.api.http.routing import Router
from goald.api.models.records import EnrollmentPage, EnrollmentResponse
from goald.api.problems import NotFoundProblem, responses
from goald.domain.enrollment import EnrollmentStatus

router = Router()


@router.get(
    "/api/v1/workflows/{workflow_id}/enrollments",
    tags=["records"],
    summary="A workflow's enrollments, newest first",
    operation_id="list_enrollments",
    responses=responses(400, 404),
)
async def list_enrollments(
    workflow_id: PathId,
    caller: Reads,
    parts: PartsOf,
    page: PageAsked,
    status: Annotated[EnrollmentStatus | None, Query(description="Only those.")] = None,
    contact_id: Annotated[QueryId | None, Query(description="Only this contact's.")] = None,
) -> EnrollmentPage:
    """`since` and `until` are held against `enrolled_at`. An enrollment that begins while
    the list is read is not in it if it is newer than the first page; none is in it twice.
    A workflow that is not configured has its enrollments all the same."""
    tenant = caller.tenant_id
    listing = page.of((int, str), "enrollments", tenant, workflow_id, status, contact_id)
    filters = {"status": status, "contact_id": contact_id}
    found = await parts.records.enrollments(tenant, workflow_id, filters, listing.span)
    if not found.rows and not await parts.records.is_known(tenant, workflow_id):
        raise NotFoundProblem(f"There is no workflow {workflow_id}")
    return EnrollmentPage(
        items=[EnrollmentResponse.of(row) for row in found.rows],
        next_cursor=listing.cursor(found.next),
    )
