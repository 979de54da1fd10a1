"""Bodies that hold events: taken as they are, so that numbers stay exact, and judged by the
same rules as what comes over the streams (D9)."""

from collections.abc import Mapping
from typing import Any, Final

from goald.api.http.bodies import StrictRequest
from goald.api.problems import BadRequest, UnsupportedMedia
from goald.pipeline.intake import Intake, intake

JSON: Final = "application/json"
ONE: Final = "application/cloudevents+json"
MANY: Final = "application/cloudevents-batch+json"


def documented(schemas: Mapping[str, Any]) -> dict[str, Any]:
    """For a route's `openapi_extra`: its body, by content type."""
    content = {media: {"schema": schema} for media, schema in schemas.items()}
    return {"requestBody": {"required": True, "content": content}}


async def event_bytes(request: StrictRequest, *media: str) -> bytes:
    """The body. Raises UnsupportedMedia where it is none of these types; TooLarge."""
    given = _media(request)
    if given not in media:
        raise UnsupportedMedia(f"The body must be {' or '.join(media)}")
    request.require_json()
    return await request.body()


async def taken(request: StrictRequest, tenant: str, now_us: int) -> Intake:
    """The events of a request. Raises InvalidEvent where it holds none, BadRequest where it
    holds them in another way than its type says."""
    body = await event_bytes(request, JSON, ONE, MANY)
    found = intake(body, tenant, now_us)
    if found.is_list and _media(request) == ONE:
        raise BadRequest(f"A list of events is {MANY}")
    if not found.is_list and _media(request) == MANY:
        raise BadRequest(f"An event by itself is {ONE}")
    return found


def _media(request: StrictRequest) -> str:
    return request.headers.get("content-type", "").lower().partition(";")[0].strip()
