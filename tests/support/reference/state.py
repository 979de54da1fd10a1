"""The state of the model: enrollments, contacts and the events that counted, in dicts."""

from tests.support.reference.contacts import KnownContact
from tests.support.reference.reading import Event, RejectedError
from tests.support.reference.records import Achievement, Enrollment, EventId, Exit, Workflow

DAY_US = 24 * 3600 * 1_000_000


class State:
    """Workflows, enrollments, achievements and exits of all tenants. See `Model`."""

    def __init__(
        self,
        clock_skew_us: int = 0,
        now_us: int | None = None,
        max_enrollments: int = 10_000,
        late_us: int = 0,
        *,
        ends_merges: bool = False,
    ) -> None:
        self.ends_merges = ends_merges
        self.clock_skew_us = clock_skew_us
        self.late_us = late_us
        self.max_enrollments = max_enrollments
        self.now_us = now_us
        self.workflows: dict[tuple[str, str], Workflow] = {}
        self.enrollments: dict[tuple[str, str], Enrollment] = {}
        self.of_contact: dict[tuple[str, str], list[Enrollment]] = {}
        self.deleted: dict[tuple[str, str], int] = {}
        """The greatest time of a deletion, by tenant and contact."""
        self.used: dict[tuple[str, str, str], dict[EventId, int]] = {}
        """By tenant, contact and workflow: the events that counted, each with the latest
        beginning of the enrollments for which it counted (E11)."""
        self.known: dict[tuple[str, str], KnownContact] = {}
        """Known contacts, by tenant and id. Every tenant has a projection."""
        self.by_case: set[str] = set()
        """The tenants that distinguish names of tags by case."""
        self.forwards: dict[tuple[str, str], str] = {}
        """By tenant and contact: the contact that continues it (E21)."""
        self.merged_us: dict[tuple[str, str], int] = {}
        """By tenant and merged contact: when Redis received its last merge."""
        self.joined_us: dict[tuple[str, str], int] = {}
        """By tenant and merged contact: the time of its last merge, or of its receipt if that was
        earlier."""
        self.merges: set[tuple[str, str, str]] = set()
        """Tenant, contact and the other contact of all merges, also of those that have ended."""
        self.achievements: list[Achievement] = []
        self.exits: list[Exit] = []
        self._received_us: int | None = None
        self._origins: list[tuple[int, str]] = []
        """`contacts_since` of the event that is applied."""

    def stored_contacts(self, enrollment: Enrollment) -> tuple[str, ...]:
        """The contacts that the enrollment may be stored with: `erased` is any pseudonym."""
        deleted = self.deleted.get((enrollment.tenant, enrollment.contact))
        if deleted is None:
            return (enrollment.contact,)
        if enrollment.began_us <= deleted:
            return ("erased",)
        if enrollment.ended_at_us == enrollment.enrolled_at_us and not enrollment.met:
            return (enrollment.contact, "erased")  # perhaps only its end was read
        return (enrollment.contact,)

    def end_of(self, tenant: str, contact: str) -> str:
        """The contact that continues this one: itself, if it was not merged (E21)."""
        while (tenant, contact) in self.forwards:
            contact = self.forwards[tenant, contact]
        return contact

    def were_one(self, tenant: str, contact: str, other: str) -> bool:
        """Whether merges have ever connected these contacts."""
        group = {contact}
        of_tenant = [each[1:] for each in self.merges if each[0] == tenant]
        while (
            more := {each for pair in of_tenant if group.intersection(pair) for each in pair}
            - group
        ):
            group |= more
        return other in group

    def contacts_since(
        self, tenant: str, contact: str, received_us: int | None
    ) -> list[tuple[int, str]]:
        """The contacts of an event or a start that names this one: the contact when Redis received
        it, and each later one, with the time of receipt of its merge (E21)."""
        found = [(0, contact)]
        while (tenant, contact) in self.forwards:
            merged_us = self.merged_us[tenant, contact]
            contact = self.forwards[tenant, contact]
            if received_us is None or merged_us <= received_us:
                found = [(0, contact)]
            else:
                found.append((merged_us, contact))
        return found

    def _known(self, event: Event, enrollment_id: str, workflow: str) -> Enrollment | None:
        """The enrollment. Raises RejectedError if it has another contact or workflow (E5)."""
        enrollment = self.enrollments.get((event.tenant, enrollment_id))
        if enrollment is not None and (enrollment.contact, enrollment.workflow) != (
            event.contact,
            workflow,
        ):
            raise RejectedError("enrollment", "another contact or workflow")
        return enrollment

    def _keep(
        self,
        event: Event,
        enrollment_id: str,
        workflow: str,
        enrolled_at_us: int,
        began_us: int,
    ) -> Enrollment:
        """A new enrollment; cancelled from its start if the contact was deleted later (E5)."""
        enrollment = Enrollment(
            event.tenant, enrollment_id, event.contact, workflow, enrolled_at_us
        )
        enrollment.began_us = began_us
        enrollment.contacts = list(self._origins)
        if self._is_deleted(event, began_us):
            enrollment.status = "cancelled"
            enrollment.ended_at_us = enrolled_at_us
        self.enrollments[event.tenant, enrollment_id] = enrollment
        self.of_contact.setdefault((event.tenant, event.contact), []).append(enrollment)
        return enrollment

    def _began(self, enrolled_at_us: int) -> int:
        """A time of receipt that is more than a day earlier is no credible one."""
        received_us = self._received_us
        if received_us is None or not 0 < enrolled_at_us - received_us <= DAY_US:
            return enrolled_at_us
        return received_us

    def _is_deleted(self, event: Event, at_us: int) -> bool:
        """Whether the contact was deleted at or after this time."""
        return at_us <= self.deleted.get((event.tenant, event.contact), at_us - 1)

    def _active(self, event: Event) -> list[Enrollment]:
        of_contact = self.of_contact.get((event.tenant, event.contact), [])
        return [enrollment for enrollment in of_contact if enrollment.status == "active"]
