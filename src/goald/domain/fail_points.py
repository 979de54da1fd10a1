"""The places between two effects, by name, where a process may die (D1, D2, D3).

The pipeline says at each of them that it has come there, to a function that it is given. In
production that is `no_op`; a test gives one that ends the process.
"""

from collections.abc import Callable
from enum import Enum
from typing import TypeAlias


class FailPoint(Enum):
    """What has just been done."""

    STREAM_LEASE_ACQUIRED = "a consumer has the lease of a stream"
    STREAM_FENCED = "the stream's epoch is set in Redis"
    READ = "entries were read"
    ROUTED = "they were packed for their shards"
    DISPATCHED = "they are in the lanes"
    REJECTS_DEAD_LETTERED = "what no shard can take is in goald:dead"
    SHARDS_DONE = "every shard is done with a batch, which is not acknowledged"
    ACKNOWLEDGED = "a batch is acknowledged"
    SLOT_LEASE_ACQUIRED = "a shard has the lease of its slots"
    LOADED = "its enrollments are in memory"
    BACKLOG_PUBLISHED = "what an earlier holder left unpublished is published"
    ADMITTED = "a shard has taken parts"
    EVALUATED = "a group is evaluated"
    LEASE_CHECKED = "a group that changes nothing has seen its lease"
    LEASE_LOCKED = "in the transaction: the lease is locked"
    ENROLLMENTS_WRITTEN = "in the transaction: enrollments are written"
    ACHIEVEMENTS_WRITTEN = "in the transaction: achievements are written"
    OUTBOX_WRITTEN = "in the transaction: all is written, and not committed"
    COMMITTED = "committed; memory does not know"
    APPLIED = "memory knows what was committed"
    GROUP_DEAD_LETTERED = "what a group could not process is in goald:dead"
    PUBLISHED = "exits and notices are in their streams; nobody has been told"
    DONE = "the consumer was told that a group is done"
    REPUBLISHED = "what another Redis may lack is published again; it is not known as having it"
    MARKED = "published rows of the outbox are marked"
    RELOADED = "after a failed commit: the contacts are loaded again"
    CONFIGURATION_APPLIED = "a changed configuration is in memory; the lease does not say so"


FailPointHook: TypeAlias = Callable[[FailPoint], None]
"""Told of each step, at once when it is done. May not return."""


def no_op(step: FailPoint) -> None:
    """Go on."""
