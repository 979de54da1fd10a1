"""Named fail points: places between two effects where a process may end (D1, D2, D3).

The pipeline calls a hook at each fail point. In production the hook is `no_op`; tests pass a
hook that ends the process.
"""

from collections.abc import Callable
from enum import Enum
from typing import TypeAlias


class FailPoint(Enum):
    """The value describes the completed action."""

    STREAM_LEASE_ACQUIRED = "a consumer has acquired the lease of a stream"
    STREAM_FENCED = "the stream's epoch is set in Redis"
    READ = "entries were read"
    ROUTED = "entries were packed for their shards"
    DISPATCHED = "batches are queued for their shards"
    REJECTS_DEAD_LETTERED = "entries that no shard can process are dead-lettered"
    SHARDS_DONE = "every shard has processed a batch, which is not acknowledged"
    ACKNOWLEDGED = "a batch is acknowledged"
    SLOT_LEASE_ACQUIRED = "a shard has acquired the lease of its slots"
    LOADED = "the enrollments of a shard are in memory"
    BACKLOG_PUBLISHED = "messages that an earlier holder left unpublished are published"
    ADMITTED = "a shard has admitted batches"
    EVALUATED = "a group is evaluated"
    LEASE_CHECKED = "a group that changes nothing has verified its lease"
    LEASE_LOCKED = "in the transaction: the lease is locked"
    ENROLLMENTS_WRITTEN = "in the transaction: enrollments are written"
    ACHIEVEMENTS_WRITTEN = "in the transaction: achievements are written"
    OUTBOX_WRITTEN = "in the transaction: all rows are written, none is committed"
    COMMITTED = "a group is committed, and not applied to memory"
    APPLIED = "a committed group is applied to memory"
    GROUP_DEAD_LETTERED = "events that a group could not process are dead-lettered"
    PUBLISHED = "exits and notices are published, and the consumer is not informed"
    DONE = "the consumer is informed that a group is processed"
    REPUBLISHED = "messages that a replaced Redis may lack are published again, and not recorded"
    MARKED = "published rows of the outbox are marked"
    TRANSFER_WRITTEN = "in the transaction: the enrollments of a merged contact have moved"
    TRANSFERRED = "the enrollments of a merged contact have moved, and are not in memory"
    FORWARDED = "events of a merged contact are queued for another shard"
    REDELIVERED = "events of the contact that continues another are queued again"
    RELOADED = "the contacts of a failed commit are loaded again"
    GATES_FENCED = "a shard has fenced the gates of its slots"
    PERMITS_REPORTED = "the permits of a shard's slots are those of its ACTIVE executions"
    GATES_ADMITTED = "the gates of a shard's slots may be passed"
    PERMITS_TAKEN = "permits are taken, and the executions are not ACTIVE yet"
    GATES_CLOSED = "gates are closed, and the commit that needs it is not begun"
    JOBS_REGISTERED = "committed jobs are in their streams"
    PERMITS_RETURNED = "permits of executions that are not ACTIVE any more are returned"
    CONFIGURATION_APPLIED = "a changed configuration is in memory, and not recorded in the lease"


FailPointHook: TypeAlias = Callable[[FailPoint], None]
"""Called at each fail point. It may not return."""


def no_op(fail_point: FailPoint) -> None:
    """Does nothing."""
