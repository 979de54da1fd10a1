"""The streams and keys in Redis, by name, and which stream an event belongs to (3.2).

Other programs rely on these names.
"""

import zlib

from goald.domain.slots import SLOTS

EXITS = "goald:exits"
NOTICES = "goald:notices"
DEAD = "goald:dead"

CONTROL = "goald:control"
"""Says that a configuration has changed, in JSON: `version`, `tenantid`, `workflows`. It wakes
shards, which read what changed from Postgres (E10)."""

GROUP = "goald"
"""The consumer group through which goald reads its event streams."""

FIELD = "event"
"""The field of an entry that holds the event."""

STREAM_COUNT = "goald:streams"
"""The key that holds how many event streams there are."""

NEXT_STREAMS = "goald:streams:next"
"""The key that says that the number is being changed, and to which; producers wait while it is
there. It goes by itself when nobody keeps it."""

DEAD_DROPPED = "goald:dead:dropped"
"""The key that counts the dead letters that went because there was no room."""

SERVER_IDENTITY = "goald:server_identity"
"""A hash of ranges of slots: the run of Redis and the Postgres that what each has published is
known to be in. Whoever finds others publishes again (D10)."""

PROCESSES = "goald:processes"
"""A hash of the processes' heartbeats: `{role}:{index}` to JSON."""

DEFAULT_STREAMS = 4


def epoch_key(stream: str) -> str:
    """The key of the epoch that may read an event stream; nothing else may write it."""
    return f"goald:epoch:{stream.rsplit(':', 1)[-1]}"


def attempts_key(stream: str) -> str:
    """The key of a hash that counts starts, and tries of an entry, that ended the consumer of
    an event stream (D4)."""
    return f"goald:attempts:{stream.rsplit(':', 1)[-1]}"


def event_stream(partition: int) -> str:
    """The key of one of the event streams, from 0 on."""
    return f"goald:events:{partition}"


def watermark_key(slots: object) -> str:
    """The key of how far a range of slots has published, as a number of the outbox."""
    return f"goald:published:{slots}"


def slot_of(tenant_id: str, contact_id: str) -> int:
    """The slot of a contact: CRC-32 of tenant, 0x1F and contact in UTF-8, modulo 256.

    UnicodeEncodeError for a lone surrogate, which no id may hold (D9).
    """
    return zlib.crc32(f"{tenant_id}\x1f{contact_id}".encode()) % SLOTS


def partition_of(tenant_id: str, contact_id: str, streams: int) -> int:
    """Which of `streams` event streams keeps a contact's events in order."""
    return slot_of(tenant_id, contact_id) % streams
