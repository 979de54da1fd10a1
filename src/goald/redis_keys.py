"""The names of streams and keys in Redis. Other programs rely on them (docs/reference/streams.md).

Adapters, the client, the commands and the runtime use them. The domain, the ports and the
pipeline name streams without their keys (`goald.domain.streams`).
"""

import hashlib
from typing import Final

from goald.domain.streams import OutboundStream

EXITS: Final = "goald:exits"
NOTICES: Final = "goald:notices"

CONTROL: Final = "goald:control"
"""Announces changed configurations, in JSON: `version`, `tenantid`, `workflows`. An entry wakes
the shards, which then read the changes from Postgres (E10)."""

OUTBOUND: Final = {
    OutboundStream.EXITS: EXITS,
    OutboundStream.NOTICES: NOTICES,
    OutboundStream.CONTROL: CONTROL,
}
"""The key of each outbound stream."""

DEAD: Final = "goald:dead"
"""The dead-letter stream."""

DEAD_DROPPED: Final = "goald:dead:dropped"
"""Counts the dead letters that were dropped to keep `goald:dead` within its bound."""

DEAD_TENANTS: Final = "goald:dead:tenants"
"""A sorted set of the tenants that have dead letters, by their bytes. The tenant "" has those
whose tenant cannot be read."""

DEAD_ACCOUNT: Final = "goald:dead:account"
"""A hash: the number and the bytes of the dead letters that are counted, and up to which id."""

DEAD_INDEX: Final = "goald:dead:of:"
"""With a tenant: a stream of the ids and the sizes of the tenant's dead letters."""

DEAD_PACKED: Final = "goald:dead:packed"
"""A copy of `goald:dead` that replaces it when it is complete, to free memory."""

THROTTLED: Final = "goald:throttled"
"""A sorted set of the tenants whose events the API refuses for a moment (D8), by the time in
milliseconds until which they are refused."""

QUOTA: Final = "goald:quota:"
"""With a quota and a tenant: what the tenant used in this second and the previous one."""

ERASURES: Final = "goald:erasures"
"""A hash with the number of unfinished erasures (`pending`) and the age of the oldest in seconds
(`oldest_s`), for `goald status`."""

TRANSFERS: Final = "goald:transfers"
"""A hash with the number and the ages of the merges of contacts whose enrollments have not all
moved, for `goald status`."""

DELIVERIES: Final = "goald:deliveries:"
"""With a digest of tenant and source, and `:v` or `:u`: a stream of the source's latest verified or
unverified deliveries, masked, in JSON."""

PROCESSED: Final = "goald:processed:"
"""With a consumer group and a tenant: a sorted set of the ids of the exits of the tenant that the
group has processed, by the time in milliseconds."""

EVENTS: Final = "goald:events:"
"""With a number from 0: an event stream."""

GROUP: Final = "goald"
"""The consumer group in which goald reads the event streams, and workers the jobs."""

FIELD: Final = "event"
"""The field of a stream entry that holds the event."""

GATE_FIELD: Final = "gate"
"""Of the entry of a job: its gate, for a worker that cannot read the job."""

STREAM_COUNT: Final = "goald:streams"
"""Holds the number of event streams."""

NEXT_STREAMS: Final = "goald:streams:next"
"""Holds the new number of event streams while it is being changed. Producers pause while the
key exists. It expires unless the command that changes the number refreshes it."""

SERVER_IDENTITY: Final = "goald:server_identity"
"""A hash from ranges of slots to the recorded identity: the run of Redis and the Postgres
server to which everything that the range published belongs. A shard that finds another
identity publishes again (D10)."""

PROCESSES: Final = "goald:processes"
"""A hash of the heartbeats of processes: `{role}:{index}` to JSON."""

GATES: Final = "goald:gates"
"""A hash of the gates that are open or passed, by their ids. Only goald may write it."""

GATE_SLOTS: Final = "goald:gates:slots"
"""A text of 35 bytes for each slot: the series of the holder that may register and close the slot's
gates, and the run of Redis under which it has admitted the slot. Only goald may write it."""

GATE_FLOORS: Final = "goald:gates:floors"
"""A text of 19 bytes for each slot: the first series whose gates may pass. Only goald may write
it."""

PERMITS: Final = "goald:permits:of:"
"""With a tenant: a set of the executions that have a permit, each behind its slot and a colon
(X8)."""

PERMITS_OF_SLOT: Final = "goald:permits:slot:"
"""With a slot: a set of the permits of its contacts, each as the length of the tenant in bytes, a
colon, the tenant and the execution."""

INACTIVE_WORKFLOWS: Final = "goald:gates:inactive"
"""A set of the workflows that are not active: their gates do not pass (X11)."""


PAYLOADS: Final = "goald:payloads:"
"""With a digest of tenant and contact: a hash of the rendered payloads of actions that may be
attempted again, encrypted, by a digest of the idempotency key (X3)."""


def payloads_key(tenant_id: str, contact_id: str) -> str:
    """The key of the payloads of a contact."""
    text = f"{len(tenant_id)}:{tenant_id}{contact_id}"
    return PAYLOADS + hashlib.sha256(text.encode()).hexdigest()[:32]


def action_stream(action: str) -> str:
    """The key of the stream of the jobs of one type of action."""
    return f"goald:actions:{action}"


def closed_gates_key(series: str, page: int) -> str:
    """The key of a page of closed and finished gates of a series: 2 bits for each gate."""
    return f"goald:gates:closed:{series}:{page}"


def event_stream(partition: int) -> str:
    """The key of an event stream, counted from 0."""
    return f"{EVENTS}{partition}"


def epoch_key(stream: str) -> str:
    """The key of the epoch that may read an event stream. Only goald may write it."""
    return f"goald:epoch:{_partition(stream)}"


def attempts_key(stream: str) -> str:
    """The key of a hash with the reader starts and delivery attempts of an event stream that
    have not been acknowledged or cleared (D4)."""
    return f"goald:attempts:{_partition(stream)}"


def watermark_key(slots: object) -> str:
    """The key of the published watermark of a range of slots: a number of the outbox."""
    return f"goald:published:{slots}"


def _partition(stream: str) -> str:
    return stream.rsplit(":", 1)[-1]
