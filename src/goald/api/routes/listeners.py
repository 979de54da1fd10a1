"""What is registered for a workflow (R9, R10, E10)."""

from goald.api.auth.access import PartsOf, Reads
from goald.api.http.paths import PathId
from goald.api.http.routing import Router
from goald.api.models.records import Listeners
from goald.api.problems import NotFoundProblem, responses

router = Router()


@router.get(
    "/api/v1/workflows/{workflow_id}/listeners",
    tags=["records"],
    summary="What listens for a workflow, and whether every shard knows",
    operation_id="get_listeners",
    responses=responses(404),
)
async def get_listeners(workflow_id: PathId, caller: Reads, parts: PartsOf) -> Listeners:
    """A change that was answered with 202 is in effect once `everywhere` is true."""
    tenant = caller.tenant_id
    listening = await parts.records.listening(tenant, workflow_id)
    is_configured = listening.version > 0
    if not is_configured and not await parts.records.is_known(tenant, workflow_id):
        raise NotFoundProblem(f"There is no workflow {workflow_id}")
    return Listeners.of(workflow_id, listening)
