"""Events that are signed with the secret of a webhook."""

import json
import time
from typing import Any

import httpx
from tests.support.api.client import Api

from goald.api.auth.signatures import parse_secret, sign

PATH = "/api/v1/webhooks"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def event(contact: str = "ann", **attributes: Any) -> bytes:
    return json.dumps(
        {
            "id": "evt-1",
            "source": "/payments",
            "type": "contact.tag.added",
            "time": "2026-01-31T09:00:00Z",
            "data": {"contact_id": contact, "tag_name": "Customer"},
        }
        | attributes
    ).encode()


def signed(
    secret: str, body: bytes, *, at: float | None = None, message_id: str = "msg-1"
) -> dict[str, str]:
    """The headers of a webhook."""
    timestamp_s = int(time.time() if at is None else at)
    return {
        "content-type": "application/json",
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp_s),
        "webhook-signature": sign(parse_secret(secret), message_id, timestamp_s, body),
    }


def send(
    api: Api,
    body: bytes,
    headers: dict[str, str],
    tenant: str = "acme",
    provider: str = "stripe",
) -> httpx.Response:
    query = {"tenant": tenant, "provider": provider}
    return api.anonymous().post("/api/v1/events", params=query, content=body, headers=headers)
