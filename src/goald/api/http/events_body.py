"""Bodies with events: passed on as bytes, so that numbers stay exact, and validated by the same
rules as the events of the streams (D9)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

from goald.api.http.bodies import StrictRequest
from goald.api.problems import BadRequest, UnsupportedMedia
from goald.domain.event_types import PROCESSED_TYPES
from goald.pipeline.intake import AcceptedEvent, EventDefaults, Intake, intake

JSON: Final = "application/json"
SINGLE: Final = "application/cloudevents+json"
BATCH: Final = "application/cloudevents-batch+json"


def documented(schemas: Mapping[str, Any]) -> dict[str, Any]:
    """Return a route's `openapi_extra` for a body with these schemas by content type."""
    content = {media: {"schema": schema} for media, schema in schemas.items()}
    return {"requestBody": {"required": True, "content": content}}


async def event_bytes(request: StrictRequest, *media: str) -> bytes:
    """Return the body. Raises UnsupportedMedia for another content type, and TooLarge."""
    given = _media(request)
    if given not in media:
        raise UnsupportedMedia(f"The body must be {' or '.join(media)}")
    request.require_json()
    return await request.body()


async def read_events(
    request: StrictRequest, tenant: str, now_us: int, defaults: EventDefaults
) -> Intake:
    """Return the events of a request. Raises InvalidEvent for a body without events, BadRequest if
    the body does not match its content type."""
    body = await event_bytes(request, JSON, SINGLE, BATCH)
    found = intake(body, tenant, now_us, defaults)
    if found.is_list and _media(request) == SINGLE:
        raise BadRequest(
            f"The body is a list of events, but its content type is for one event: use {BATCH}"
        )
    if not found.is_list and _media(request) == BATCH:
        raise BadRequest(
            f"The body is a single event, but its content type is for a list: use {SINGLE}"
        )
    return found


def _media(request: StrictRequest) -> str:
    return request.headers.get("content-type", "").lower().partition(";")[0].strip()


def without_ignored(
    accepted: Sequence[AcceptedEvent],
) -> tuple[Sequence[AcceptedEvent], Counter[str]]:
    """Separate the events to publish, in order, from those of types that have no effect. Returns
    the former, and the number of the latter by type. Events without effect would only take room
    in Redis (D8)."""
    published = [event for event in accepted if event.type in PROCESSED_TYPES]
    return published, Counter(event.type for event in accepted if event.type not in PROCESSED_TYPES)
