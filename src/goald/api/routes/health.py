"""Liveness, readiness and metrics. They need no token."""

from fastapi import Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from goald.api.dependencies import Deps
from goald.api.http.routing import Router
from goald.api.problems import Unavailable, responses

router = Router()


class Alive(BaseModel):
    status: str = "ok"


@router.get("/livez", tags=["health"], summary="Check liveness", operation_id="livez")
async def livez() -> Alive:
    """The process is alive."""
    return Alive()


@router.get(
    "/readyz",
    tags=["health"],
    summary="Check readiness",
    operation_id="readyz",
    responses=responses(503),
)
async def readyz(deps: Deps) -> Alive:
    """Requests can be served. If not, `detail` of the 503 is the cause, and `reasons` lists the
    cause and its consequences."""
    if reasons := await deps.operations.health.not_ready_reasons():
        raise Unavailable(reasons[0], reasons=reasons)
    return Alive()


@router.get(
    "/metrics",
    tags=["health"],
    summary="Get metrics for Prometheus",
    operation_id="metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(deps: Deps) -> Response:
    """The metrics are at most half a second old: concurrent scrapes share one rendering."""
    return Response(deps.operations.metrics_text.latest(), media_type=CONTENT_TYPE_LATEST)
