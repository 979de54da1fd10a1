"""One contact's state, for a dry run.

Times are microseconds since the Unix epoch. Every coroutine may raise `ServiceUnavailable`
when its server cannot be reached or refuses to write (D6).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from goald.domain.enrollment import Enrollment
from goald.domain.ids import ContactId, TenantId
from goald.ports.configuration import WorkflowConfiguration


@dataclass(frozen=True, slots=True)
class ContactState:
    """A contact's enrollments and the workflows that they are in, all of one moment."""

    workflows: Sequence[WorkflowConfiguration]
    active: bytes
    """The active enrollments, as `_native.Engine.load` takes them."""
    ended: Sequence[Enrollment]
    """Newest first."""
    truncated: bool
    """There are more enrollments than these, older ones."""


class ContactReader(Protocol):
    """What is known of one contact, for a dry run."""

    async def read(self, tenant: TenantId, contact: ContactId) -> ContactState:
        """Sees this tenant's rows alone (D8), and writes nothing."""
