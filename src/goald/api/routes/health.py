"""Whether the API lives, whether it can serve, and what it counts. No token needed."""

from fastapi import Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

from goald.api.auth.access import PartsOf
from goald.api.http.routing import Router
from goald.api.problems import Unavailable, responses

router = Router()


class Alive(BaseModel):
    status: str = "ok"


@router.get("/livez", tags=["health"], summary="Whether the process lives", operation_id="livez")
async def livez() -> Alive:
    return Alive()


@router.get(
    "/readyz",
    tags=["health"],
    summary="Whether requests can be served",
    operation_id="readyz",
    responses=responses(503),
)
async def readyz(parts: PartsOf) -> Alive:
    if troubles := await parts.health.troubles():
        raise Unavailable("; ".join(troubles), troubles=troubles)
    return Alive()


@router.get(
    "/metrics",
    tags=["health"],
    summary="What is counted, for Prometheus",
    operation_id="metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}},
)
async def metrics(parts: PartsOf) -> Response:
    return Response(generate_latest(parts.registry), media_type=CONTENT_TYPE_LATEST)
