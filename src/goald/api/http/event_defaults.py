"""The id and the source of an event over HTTP that omits them (E20)."""

import hashlib
from typing import Final
from uuid import uuid4

from goald.api.http.bodies import StrictRequest
from goald.api.ports import Caller
from goald.domain.derived_ids import derived_id
from goald.domain.ids import is_id
from goald.pipeline.intake import EventDefaults

SOURCE: Final = "goald/api"


async def event_defaults(request: StrictRequest, caller: Caller) -> EventDefaults:
    """Return the defaults of a request. A webhook that is delivered again, and a request that is
    repeated with its `Idempotency-Key`, get the same ids; any other request gets new ones. Reads
    the body."""
    if caller.grant is not None:
        delivery, provider = request.headers["webhook-id"], request.query_params["provider"]
        if not is_id(delivery):
            delivery = str(derived_id("webhook", caller.tenant_id, provider, delivery))
        return EventDefaults(provider, delivery)
    key = request.headers.get("idempotency-key")
    if key is None:
        return EventDefaults(SOURCE, str(uuid4()))
    # A key may be used for another request after a day, whose events are others.
    digest = hashlib.sha256(await request.body()).hexdigest()
    return EventDefaults(SOURCE, str(derived_id("request", caller.tenant_id, key, digest)))
