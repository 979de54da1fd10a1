"""Refunds and cancelled appointments, which are counted next to conversions (E13, E15)."""

import json
from typing import Final

from goald.domain.derived_ids import derived_id
from goald.domain.times import rfc3339

REFUND_NOTICE: Final = "workflow.goal.refunded"
"""The CloudEvents type of the notice about a refund (GOALD_REFUND_REOPENS)."""


def refund_notice(
    tenant_id: str, contact_id: str, workflow_id: str, enrollment_id: str, refunded_at: int
) -> tuple[str, str]:
    """Return the id and the JSON of the notice that the payment that completed an enrollment was
    refunded. `refunded_at`: microseconds since the epoch. The id is derived, so that a notice that
    is published twice can be recognised."""
    notice_id = str(derived_id(tenant_id, enrollment_id, REFUND_NOTICE))
    time = rfc3339(refunded_at)
    event = {
        "specversion": "1.0",
        "id": notice_id,
        "source": "goald",
        "type": REFUND_NOTICE,
        "time": time,
        "tenantid": tenant_id,
        "datacontenttype": "application/json",
        "data": {
            "workflow_id": workflow_id,
            "contact_id": contact_id,
            "enrollment_id": enrollment_id,
            "refunded_at": time,
        },
    }
    return notice_id, json.dumps(event, ensure_ascii=False, separators=(",", ":"))
