"""Events that the API itself sends: only the shard of a contact changes what belongs to it."""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from goald.api.dependencies import Dependencies
from goald.api.problems import BadRequest
from goald.api.publishing import payload_bytes, size_units, units
from goald.domain.times import rfc3339
from goald.metrics.api import ApiMetrics
from goald.pipeline.intake import intake

SOURCE: Final = "goald/api"


async def publish_own(
    deps: Dependencies,
    metrics: ApiMetrics,
    tenant: str,
    kind: str,
    event_id: str,
    data: Mapping[str, Any],
) -> None:
    """Return when the event is on the stream of its contact. Counts it for the tenant's quotas.
    Raises BadRequest for a contact that no event may name, and what `TenantPublisher.publish`
    raises."""
    now_us = deps.clock.now_us()
    event = {
        "specversion": "1.0",
        "id": event_id,
        "source": SOURCE,
        "type": kind,
        "time": rfc3339(now_us),
        "tenantid": tenant,
        "data": data,
    }
    found = intake(orjson.dumps(event), tenant, now_us)
    if found.refused:
        raise BadRequest(found.refused[0].reason)
    cost = units(found.accepted)
    await deps.access.quotas.events(tenant, cost)
    metrics.count_units(size_units(found.accepted), cost)
    await deps.access.quotas.bytes(tenant, payload_bytes(found.accepted))
    await deps.events.publisher.publish(tenant, found.accepted)
