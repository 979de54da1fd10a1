"""One contact's state, for a dry run.

Times are microseconds since the Unix epoch. Every coroutine may raise `ServiceUnavailable`
when its server cannot be reached or refuses to write (D6).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from goald.domain.records import EnrollmentRecord


@dataclass(frozen=True, slots=True)
class ContactState:
    """A contact's enrollments and the workflows that they are in, all of one moment."""

    workflows: list[dict[str, Any]]
    """As `_native.Engine.update_workflows` takes them."""
    active: bytes
    """The active enrollments, as `_native.Engine.load` takes them."""
    ended: Sequence[EnrollmentRecord]
    """Newest first."""
    truncated: bool
    """There are more enrollments than these, older ones."""


class ContactReader(Protocol):
    """What is known of one contact, for a dry run."""

    async def read(self, tenant: str, contact: str) -> ContactState:
        """Sees this tenant's rows alone (D8), and writes nothing."""
