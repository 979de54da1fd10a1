"""Forwards of merged contacts (E21): which contact continues another."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from goald.domain.derived_ids import derived_id

ALREADY_MERGED: Final = "the contact was merged into another contact before"
CYCLE: Final = "the contact to merge into was itself merged into this contact"

ENDLESS: Final = "the stored merges of this contact form a cycle"


class Forward(NamedTuple):
    """Events of one contact count for another."""

    tenant_id: str
    key: str
    """Identifies the merged contact; see `forward_key`."""
    target: str | None
    """The contact that continues it; None if the forward was removed."""
    merges: tuple[int, ...] = ()
    """The merges that led there, each by when Redis received it, in order."""


MAX_MERGES: Final = 8


def join_merges(before: Sequence[int], later: Sequence[int]) -> tuple[int, ...]:
    """Return the last merges of a contact or an enrollment that has moved by `before`, and now
    moves by `later`. The merges of the other contact before that are not its own."""
    last = before[-1] if before else 0
    return (*before, *(merge for merge in later if merge > last))[-MAX_MERGES:]


def forward_key(secret: str, tenant_id: str, contact_id: str) -> str:
    """The key of a merged contact: a hash, so that the forward can outlive the deletion of the
    contact. `secret`: of the database, so that the id cannot be found by trying. The matcher
    derives the same."""
    return str(derived_id("forward", secret, tenant_id, contact_id))
