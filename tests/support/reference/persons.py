"""Merges and deletions of contacts (E5, E11, E21)."""

from dataclasses import replace

from tests.support.reference import reading
from tests.support.reference.reading import Event, RejectedError
from tests.support.reference.records import EventId, Outcome
from tests.support.reference.state import State


class Persons(State):
    """Which contacts continue others, and which were deleted."""

    def _merge(self, event: Event) -> None:
        """The runs of a contact, and the events that counted for it, are the other's from now on.
        Raises RejectedError for a cycle, and for another merge of a merged contact (E21)."""
        tenant, contact = event.tenant, event.contact
        into = self.end_of(tenant, reading.required_id(event.data, "into_contact_id"))
        end = self.end_of(tenant, contact)
        if contact == event.data["into_contact_id"]:
            raise RejectedError("merge", "into itself")
        if end != contact:
            if end != into:
                raise RejectedError("merge", "merged before")
            return
        if into == contact:
            raise RejectedError("merge", "a cycle")
        if self._is_deleted(event, event.time_us):
            return
        received_us = self._received_us
        received_us = event.time_us if received_us is None else received_us
        self.forwards[tenant, contact] = into
        self.merged_us[tenant, contact] = received_us
        self.joined_us[tenant, contact] = min(event.time_us, received_us)
        joined_us = self.joined_us[tenant, contact] if self.ends_merges else 0
        self.merges.add((tenant, contact, into))
        deleted_us = self.deleted.get((tenant, contact), -1) if self.ends_merges else -1
        of_contact = self.of_contact.pop((tenant, contact), [])
        self.of_contact[tenant, contact] = [run for run in of_contact if run.began_us <= deleted_us]
        for enrollment in (run for run in of_contact if run.began_us > deleted_us):
            used = self.used.get((tenant, into, enrollment.workflow), {})
            if enrollment.status == "active":
                enrollment.excluded |= frozenset(used)
            enrollment.contact = into
            enrollment.began_us = max(enrollment.began_us, joined_us)
            ended_us = enrollment.ended_at_us
            if ended_us is not None and ended_us <= enrollment.enrolled_at_us:
                enrollment.start_is_known = False
            enrollment.contacts.append((received_us, into))
            if (missed := enrollment.missed) is not None:
                moved = replace(missed.event, contact=into)
                enrollment.missed = replace(missed, event=moved)
            self.of_contact.setdefault((tenant, into), []).append(enrollment)
        known = self.known.pop((tenant, contact), None)
        if known is not None and (tenant, into) in self.known:
            known.continue_as(self.known[tenant, into])
        elif known is not None:
            self.known[tenant, into] = known
        for runs in [runs for runs in self.used if runs[:2] == (tenant, contact)]:
            of_other = self.used.setdefault((tenant, into, runs[2]), {})
            for identity, began in self.used.pop(runs).items():
                of_other[identity] = max(began, joined_us, of_other.get(identity, began))

    def _delete_contact(self, event: Event, outcome: Outcome) -> None:
        """Cancel enrollments that started at or before the deletion, without an exit. Contacts that
        were merged into this one until then begin a new life."""
        contact = (event.tenant, event.contact)
        self.deleted[contact] = max(event.time_us, self.deleted.get(contact, event.time_us))
        for enrollment in self._active(event):
            if enrollment.began_us <= event.time_us:
                enrollment.status = "cancelled"
                enrollment.ended_at_us = max(event.time_us, enrollment.enrolled_at_us)
                outcome.cancelled.append(enrollment.id)
        if self.ends_merges:
            self._end_forwards(event)
        self._forget_used(event)
        if contact in self.known:
            self.known[contact].forget(event.time_us)

    def _end_forwards(self, event: Event) -> None:
        tenant = event.tenant
        ended = [
            of
            for of in self.forwards
            if of[0] == tenant
            and self.end_of(*of) == event.contact
            and self._joined_us(*of) <= event.time_us
        ]
        for of in ended:
            del self.forwards[of]
            self.deleted[of] = max(event.time_us, self.deleted.get(of, event.time_us))

    def _joined_us(self, tenant: str, contact: str) -> int:
        """Since when a contact continues under the last one of its chain."""
        joined_us = 0
        while (tenant, contact) in self.forwards:
            joined_us = max(joined_us, self.joined_us[tenant, contact])
            contact = self.forwards[tenant, contact]
        return joined_us

    def _forget_used(self, event: Event) -> None:
        """Forget the events of the deleted contact, except those that runs of a new contact under
        its id exclude."""
        for (tenant, contact, workflow), used in self.used.items():
            if (tenant, contact) != (event.tenant, event.contact):
                continue
            needed: set[EventId] = set()
            for run in self._active(event):
                needed |= run.excluded if run.workflow == workflow else set()
            for each, enrolled_at_us in list(used.items()):
                if enrolled_at_us <= event.time_us and each not in needed:
                    del used[each]
