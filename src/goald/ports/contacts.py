"""The state of one contact, for a dry run.

Every coroutine may raise `ServiceUnavailable` if the server is unreachable (D6).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from goald.domain.ids import ContactId, TenantId
from goald.domain.records.enrollment import Enrollment
from goald.ports.configuration import WorkflowConfiguration


@dataclass(frozen=True, slots=True)
class ContactState:
    """The enrollments of a contact and their workflows, read in one snapshot."""

    workflows: Sequence[WorkflowConfiguration]
    """Workflows of the active enrollments, as far as they are configured."""
    active: bytes
    """Active enrollments, in the format that the matcher loads."""
    ended: Sequence[Enrollment]
    """Newest first."""
    truncated: bool
    """True if older enrollments were left out."""


class ContactReader(Protocol):
    """Reads the state of a contact."""

    async def read(self, tenant: TenantId, contact: ContactId) -> ContactState:
        """Read a bounded number of enrollments, the newest. Sees rows of this tenant only (D8)
        and writes nothing."""
