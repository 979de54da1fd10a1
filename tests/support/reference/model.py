"""The model: configuration and enrollments in dicts, one event at a time (E1 to E6, E8, E11, E12,
E16 to E19, E22).

`feed` applies an event to the state and returns its effects. The model has no batches, no
commits, no index and no clock. However goald batches, orders or repeats the same events, it
must reach the same state.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tests.support.reference import criteria, reading
from tests.support.reference.goals import Goals
from tests.support.reference.persons import Persons
from tests.support.reference.reading import Event, RejectedError
from tests.support.reference.records import Enrollment, Goal, Outcome, Workflow


class Model(Goals, Persons):
    """Workflows, enrollments, achievements and exits of all tenants.

    `clock_skew_us` is the tolerance of E3. Goals without a window watch an enrollment for `late_us`
    after its end (E18). A contact has at most `max_enrollments` active
    enrollments (E5). `now_us` is the arrival time of the next event, and
    can be set between events; if it is None, no event is too far in the future. `ends_merges`: the
    deletion of a contact ends the merges into it (E21), which tests of the matcher alone omit.
    """

    def configure(
        self,
        tenant: str,
        workflow_id: str,
        goal_logic: str,
        is_active: bool,
        goals: Sequence[Goal] = (),
        *,
        exits_missed: bool = False,
    ) -> None:
        """Replace the configuration of a workflow. This completes no enrollment (E8), except by
        events that it missed while it was paused, if it is active and `exits_missed` (E19)."""
        oldest_first = sorted(goals, key=lambda goal: (goal.created_us, goal.position))
        workflow = Workflow(goal_logic, is_active, tuple(oldest_first))
        self.workflows[tenant, workflow_id] = workflow
        for run in self.enrollments.values() if is_active else ():
            if (run.tenant, run.workflow) == (tenant, workflow_id) and run.missed is not None:
                missed, run.missed = run.missed, None
                if exits_missed and run.status == "active":
                    self._judge(missed, run, workflow, Outcome())

    def distinguish_tags(self, tenant: str, by_case: bool) -> None:
        """Compare names of tags of a tenant with regard to case, or no longer (E16)."""
        (self.by_case.add if by_case else self.by_case.discard)(tenant)
        for (of, _), contact in self.known.items():
            if of == tenant and contact.by_case != by_case:
                contact.distinguish(by_case)

    def delete_workflow(self, tenant: str, workflow_id: str) -> None:
        """Its enrollments stay, and match nothing until it is configured again (E5, E8)."""
        self.workflows.pop((tenant, workflow_id), None)

    def feed(self, event: Any, received_us: int | None = None) -> Outcome:
        """Apply one decoded event. Never raises because of the content of the event.
        `received_us`: when Redis received it; if None, its times are not ahead of that."""
        outcome = Outcome()
        self._received_us = received_us
        try:
            self._take(reading.read_event(event, self.now_us), outcome)
        except RejectedError as error:
            return Outcome(rejected=error.category)
        return outcome

    def _take(self, event: Event, outcome: Outcome) -> None:
        received_us = self._received_us
        self._origins = self.contacts_since(event.tenant, event.contact, received_us)
        if event.type not in ("contact.deleted", "contact.merged"):
            event = replace(event, contact=self.end_of(event.tenant, event.contact))
        if event.type in criteria.GOAL_TYPE_OF_EVENT:
            self._evaluate_goals(event, outcome)
            self._describe(event)
        elif event.type == "contact.tag.removed":
            outcome.described = True
            self._describe(event)
        elif event.type == "workflow.enrollment.started":
            self._start(event, outcome)
        elif event.type == "workflow.enrollment.ended":
            self._end(event, outcome)
        elif event.type == "workflow.exit.acknowledged":
            reading.required_id(event.data, "workflow_id")
            reading.optional_count(event.data, "cancelled_actions")
            outcome.acknowledged.append(reading.required_id(event.data, "enrollment_id"))
        elif event.type == "contact.deleted":
            self._delete_contact(event, outcome)
        elif event.type == "contact.merged":
            self._merge(event)
        elif event.type == "payment.refunded":
            outcome.reversed = ("purchase_made", reading.optional_id(event.data, "payment_id"))
        elif event.type == "appointment.cancelled":
            reference = reading.optional_id(event.data, "appointment_id")
            outcome.reversed = ("appointment_booked", reference)
        elif event.type == "contact.updated":
            outcome.described = True
        else:
            outcome.ignored = True

    def _start(self, event: Event, outcome: Outcome) -> None:
        """A second `started` does not overwrite the first (E5)."""
        workflow = reading.required_id(event.data, "workflow_id")
        enrollment_id = reading.required_id(event.data, "enrollment_id")
        enrolled_at_us = event.time_us
        given = event.data.get("enrolled_at")
        if given is not None:
            enrolled_at_us = reading.read_time(given, self.now_us)
        pending = reading.optional_count(event.data, "pending_actions")
        started_by = reading.optional_event_reference(event.data, "started_by")
        match = reading.optional_match(event.data, "match")
        known = self._known(event, enrollment_id, workflow)
        if known is not None:
            self._refuse_used_id(event, known, enrolled_at_us)
            return
        began_us = self._began(enrolled_at_us)
        begins = not self._is_deleted(event, began_us)
        if begins and len(self._active(event)) >= self.max_enrollments:
            raise RejectedError("limit", "active enrollments of the contact")
        enrollment = self._keep(event, enrollment_id, workflow, enrolled_at_us, began_us)
        enrollment.pending_actions = pending
        enrollment.started_by = started_by
        enrollment.match = match
        enrollment.start_is_known = True
        used = self.used.get((event.tenant, event.contact, workflow), {})
        enrollment.excluded = frozenset(used)
        if enrollment.status != "active":
            outcome.cancelled.append(enrollment_id)
            return
        outcome.started.append(enrollment_id)
        self._check_on_enrollment(event, enrollment, outcome)

    def _refuse_used_id(self, event: Event, known: Enrollment, enrolled_at_us: int) -> None:
        """Raises RejectedError if a start names a run that has ended, at another time (E12). If
        perhaps only the end of the run was read, a start until then may be its own. Starts of a
        contact that was deleted later change nothing."""
        if known.status == "active" or enrolled_at_us == known.enrolled_at_us:
            return
        began_us = self._began(enrolled_at_us)
        if self._is_deleted(event, began_us):
            return
        end_only = known.ended_at_us == known.enrolled_at_us and not known.start_is_known
        if (
            end_only
            and not known.met
            and known.status != "completed_goal"
            and began_us <= known.enrolled_at_us
        ):
            return
        raise RejectedError("ended", "the run of this id has ended")

    def _end(self, event: Event, outcome: Outcome) -> None:
        """End an active enrollment. Store an unknown one as ended (E5)."""
        workflow = reading.required_id(event.data, "workflow_id")
        enrollment_id = reading.required_id(event.data, "enrollment_id")
        reason = event.data.get("reason")
        if reason not in reading.ENDED_REASONS:
            raise RejectedError("field", "reason")
        enrollment = self._known(event, enrollment_id, workflow)
        if enrollment is None:
            # Its start was not received, so it begins at the time of its end.
            enrollment = self._keep(event, enrollment_id, workflow, event.time_us, event.time_us)
        if enrollment.status != "active":
            return
        enrollment.status = reason
        enrollment.ended_at_us = event.time_us
        outcome.ended.append(enrollment_id)
