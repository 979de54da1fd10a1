"""The dry run (3.4): what one event would do, and why not more."""

from typing import Any

from goald.api.auth.access import PartsOf, Reads
from goald.api.http.bodies import StrictRequest
from goald.api.http.events_body import JSON, ONE, documented, event_bytes
from goald.api.http.routing import Router
from goald.api.models.events import EVENT_REF
from goald.api.models.explain import Explanation

router = Router()


@router.post(
    "/api/v1/explain",
    tags=["events"],
    summary="Say what an event would do, and do nothing",
    operation_id="explain_event",
    response_model=Explanation,
    openapi_extra=documented({JSON: EVENT_REF, ONE: EVENT_REF}),
)
async def explain_event(request: StrictRequest, parts: PartsOf, caller: Reads) -> dict[str, Any]:
    """Holds one event against what is committed now: every enrollment of its contact, every
    goal of their workflows, matched or the reason why not. Writes nothing. 400, with the
    reason, for an event that goald would refuse; one of another tenant is not looked up.
    """
    event = await event_bytes(request, JSON, ONE)
    return await parts.explainer.explain(caller.tenant_id, event)
