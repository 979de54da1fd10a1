"""The state of one contact, for a dry run.

Every coroutine may raise `ServiceUnavailable` if the server is unreachable (D6).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

from goald.domain.contacts.projection import Contact
from goald.domain.ids import ContactId, TenantId, WorkflowId
from goald.domain.records.enrollment import Enrollment
from goald.domain.records.execution import Execution
from goald.ports.configuration import WorkflowConfiguration
from goald.ports.shard_store import EndedCheck, WatchedRuns


@dataclass(frozen=True, slots=True)
class ContactState:
    """The enrollments of a contact and their workflows, read in one snapshot."""

    workflows: Sequence[WorkflowConfiguration]
    """Workflows of these enrollments, as far as they are configured."""
    active: bytes
    """The newest active enrollments, in the format that the matcher loads."""
    active_count: int
    """All active enrollments of the contact."""
    ended: Sequence[Enrollment]
    """Newest first."""
    truncated: bool
    """True if older enrollments were left out."""
    executions: Mapping[str, Execution]
    """The executions of the active enrollments that are returned, by their id."""


MAX_COUNTED: Final = 20_000
"""The enrollments, active or not, that one `start_state` counts at most."""


@dataclass(frozen=True, slots=True)
class EndedEnrollment:
    """An enrollment that has ended."""

    contact: ContactId
    workflow: str
    enrolled_at: int
    may_be_end_only: bool
    """Perhaps only its end is known: it ended when it began."""

    def refuses(self, contact: str, workflow: str, enrolled_at: int) -> bool:
        """Whether a start of this contact in this workflow is refused, because the enrollment began
        at another time (E12)."""
        if (contact, workflow) != (self.contact, self.workflow):
            return False
        if self.may_be_end_only:
            return enrolled_at > self.enrolled_at
        return enrolled_at != self.enrolled_at


@dataclass(frozen=True, slots=True)
class StartState:
    """The counts and ids by which contacts may start enrollments or not (E5, E12)."""

    continuing: Mapping[ContactId, ContactId]
    """Of those of the contacts and owners that were merged: the contact that continues them (E21).
    The others may be missing. Everything below is by that contact."""
    active: Mapping[ContactId, int]
    """The active enrollments of each contact, at most MAX_COUNTED of all."""
    existing: Mapping[str, tuple[ContactId, WorkflowId]]
    """The contact and the workflow of each enrollment id that exists. The contact is a pseudonym if
    it was erased."""
    ended: Mapping[str, EndedEnrollment]
    """Those of them whose enrollments have ended."""


class StartReader(Protocol):
    """Reads how many enrollments contacts have."""

    async def start_state(
        self, tenant: TenantId, contacts: Sequence[ContactId], enrollments: Sequence[str]
    ) -> StartState:
        """Read the state of these contacts and enrollment ids of a tenant (D8). If they have more
        than MAX_COUNTED active enrollments, the last contacts are counted in part or not at all."""


class Exclusion(StrEnum):
    """Why an event does not count for an enrollment (E11)."""

    STARTED_IT = "the event started the enrollment"
    COUNTED_BEFORE = "the event counted for an earlier enrollment"


class ContactReader(StartReader, Protocol):
    """Reads the state of a contact."""

    async def continuing(self, tenant: TenantId, contact: ContactId) -> ContactId:
        """Return the contact that continues this one: itself, if it was not merged (E21)."""

    async def exclusions(
        self, tenant: TenantId, contact: ContactId, event_key: str, enrollments: Sequence[str]
    ) -> Mapping[str, Exclusion]:
        """Return those of the contact's enrollments for which the event does not count."""

    async def ended(self, checks: Sequence[EndedCheck]) -> WatchedRuns:
        """See `ShardStore.ended`, for at least one check, all of one tenant."""

    async def projection(self, tenant: TenantId, contact: ContactId) -> Contact:
        """Return what events gave the contact; nothing if it is unknown."""

    async def read(
        self, tenant: TenantId, contact: ContactId, workflows: Sequence[str] = ()
    ) -> ContactState:
        """Read a bounded number of enrollments, the newest, and also these workflows. Sees rows of
        this tenant only (D8) and writes nothing."""
