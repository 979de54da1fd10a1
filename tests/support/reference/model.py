"""The model: configuration and enrollments in dicts, one event at a time (E1 to E6, E8, E11, E12,
E16 to E19, E22).

`feed` applies an event to the state and returns its effects. The model has no batches, no
commits, no index and no clock. However goald batches, orders or repeats the same events, it
must reach the same state.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tests.support.reference import contacts, criteria, reading
from tests.support.reference.contacts import KnownContact
from tests.support.reference.reading import Event, RejectedError

EventId = tuple[str, str]
"""Source and id."""
DAY_US = 24 * 3600 * 1_000_000


@dataclass(frozen=True)
class Goal:
    """One goal of a workflow. Times in microseconds; criteria as decoded JSON.

    `effective_from_us` is None if the goal was never activated: it matches no event.
    """

    id: str
    goal_type: str
    criteria: dict[str, Any]
    is_active: bool = True
    effective_from_us: int | None = 0
    created_us: int = 0
    position: int = 0
    check_on_enrollment: bool = False
    conversion_window_us: int | None = None
    """For how long after the enrollment it watches an ended one (E18). None: `Model.late_us`."""


@dataclass(frozen=True)
class Workflow:
    """The configuration of a workflow, with its goals from the oldest to the newest."""

    goal_logic: str
    is_active: bool
    goals: tuple[Goal, ...]


@dataclass
class Enrollment:
    """One contact's run through one workflow."""

    tenant: str
    id: str
    contact: str
    workflow: str
    enrolled_at_us: int
    status: str = "active"
    met: list[str] = field(default_factory=list)
    """Goal ids, in the order in which they were achieved."""
    ended_at_us: int | None = None
    """The time of the event that ended it."""
    pending_actions: int | None = None
    started_by: EventId | None = None
    match: dict[str, str] = field(default_factory=dict)
    """The values that goals may compare with events (E17)."""
    missed: "JudgedEvent | None" = None
    """The first event that would have counted while the workflow was paused (E19)."""
    excluded: frozenset[EventId] = frozenset()
    """Events that had counted for earlier runs of the contact when it started (E11)."""
    met_after_end_us: int | None = None
    """The time of the event with which its goals were met after it had ended (E18)."""
    start_is_known: bool = False
    """Its start was received before its end, and it has not moved since it ended when it began."""
    began_us: int = 0
    """The earlier of `enrolled_at_us` and when its start was received."""


@dataclass(frozen=True)
class JudgedEvent:
    """An event, with the facts that goals compare: of a list, the tags that were new then (E16)."""

    event: Event
    facts: dict[str, Any]
    received_us: int = 0
    """When Redis received it, or its own time."""


@dataclass(frozen=True)
class Achievement:
    """An enrollment met a goal. Unique by (tenant, enrollment, goal)."""

    tenant: str
    workflow: str
    enrollment: str
    contact: str
    goal: str
    goal_type: str
    achieved_at_us: int
    event_id: str
    event_source: str
    after_end: bool = False


@dataclass(frozen=True)
class Exit:
    """The command that ends an enrollment because its goals are met. One per enrollment."""

    tenant: str
    workflow: str
    enrollment: str
    contact: str
    goal_type: str
    """The type of the goals that the completing event matched."""
    goal_ids: tuple[str, ...]
    """All achieved goals: first those no longer configured, then from the oldest to the newest."""
    achieved_at_us: int
    event_id: str
    event_source: str


@dataclass
class Outcome:
    """The effects of one event. All fields are empty if the event changed nothing."""

    started: list[str] = field(default_factory=list)
    """Enrollment ids, as in `ended` and `cancelled`."""
    ended: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    achieved: list[Achievement] = field(default_factory=list)
    exited: list[Exit] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    """Enrollments whose exit a workflow engine has executed."""
    reversed: tuple[str, str | None] | None = None
    """The goal type of which the event undoes a payment or an appointment, and its id."""
    rejected: str | None = None
    """The category of RejectedError; `enrollment`: another contact or workflow has the id;
    `ended`: the id is of a run that has ended; `limit`: the contact has reached the limit of
    active enrollments."""
    described: bool = False
    """The event only describes its contact."""
    ignored: bool = False
    """The event has a type that goald does not process."""


class Model:
    """Workflows, enrollments, achievements and exits of all tenants.

    `clock_skew_us` is the tolerance of E3. Goals without a window watch an enrollment for `late_us`
    after its end (E18). A contact has at most `max_enrollments` active
    enrollments (E5). `now_us` is the arrival time of the next event, and
    can be set between events; if it is None, no event is too far in the future.
    """

    def __init__(
        self,
        clock_skew_us: int = 0,
        now_us: int | None = None,
        max_enrollments: int = 10_000,
        late_us: int = 0,
    ) -> None:
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
        self.achievements: list[Achievement] = []
        self.exits: list[Exit] = []
        self._received_us: int | None = None

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

    def _check_on_enrollment(self, event: Event, enrollment: Enrollment, outcome: Outcome) -> None:
        """Goals that the contact's state meets when its enrollment starts (E22), except by
        tags and stages of the event that started it (E11)."""
        workflow = self.workflows.get((event.tenant, enrollment.workflow))
        known = self.known.get((event.tenant, event.contact))
        if workflow is None or not workflow.is_active or known is None:
            return
        cause = enrollment.started_by
        tags = [(tag.id, tag.name) for tag in known.tags if tag.added_by != cause]
        by_case = event.tenant in self.by_case
        tagged: dict[str, Any] = {"tag_id": None, "tag_name": None, "tags": tags}
        tagged["by_case"] = by_case
        stages: list[dict[str, Any]] = [
            {"pipeline_id": pipeline or None, "stage_id": stage}
            for pipeline, stage in known.stages.items()
            if not known.stage_is_given_by(pipeline, cause)
        ]
        states = {"tag_added": [tagged], "pipeline_stage_reached": stages}
        start = replace(event, time_us=enrollment.enrolled_at_us)
        matched = [
            goal
            for goal in workflow.goals
            if goal.is_active
            and goal.check_on_enrollment
            and not goal.criteria.get("match")
            and self._not_retroactive(start, enrollment, goal)
            and any(
                criteria.met(goal.goal_type, goal.criteria, state)
                for state in states.get(goal.goal_type, [])
            )
        ]
        if matched:
            self._meet(start, enrollment, workflow, matched, outcome, uses=False)

    def _refuse_used_id(self, event: Event, known: Enrollment, enrolled_at_us: int) -> None:
        """Raises RejectedError if a start names a run that has ended, at another time (E12). If
        perhaps only the end of the run was read, a start until then may be its own. Starts of a
        contact that was deleted later change nothing."""
        if known.status == "active" or enrolled_at_us == known.enrolled_at_us:
            return
        began_us = self._began(enrolled_at_us)
        if self._is_deleted(event, began_us):
            return
        end_only = known.ended_at_us == known.enrolled_at_us and not known.met
        if end_only and known.status != "completed_goal" and began_us <= known.enrolled_at_us:
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

    def end_of(self, tenant: str, contact: str) -> str:
        """The contact that continues this one: itself, if it was not merged (E21)."""
        while (tenant, contact) in self.forwards:
            contact = self.forwards[tenant, contact]
        return contact

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
        self.forwards[tenant, contact] = into
        for enrollment in self.of_contact.pop((tenant, contact), []):
            used = self.used.get((tenant, into, enrollment.workflow), {})
            if enrollment.status == "active":
                enrollment.excluded |= frozenset(used)
            enrollment.contact = into
            ended_us = enrollment.ended_at_us
            if ended_us is not None and ended_us <= enrollment.enrolled_at_us:
                enrollment.start_is_known = False
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
                of_other[identity] = max(began, of_other.get(identity, began))

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

    def _delete_contact(self, event: Event, outcome: Outcome) -> None:
        """Cancel enrollments that started at or before the deletion, without an exit."""
        contact = (event.tenant, event.contact)
        self.deleted[contact] = max(event.time_us, self.deleted.get(contact, event.time_us))
        for enrollment in self._active(event):
            if enrollment.began_us <= event.time_us:
                enrollment.status = "cancelled"
                enrollment.ended_at_us = max(event.time_us, enrollment.enrolled_at_us)
                outcome.cancelled.append(enrollment.id)
        self._forget_used(event)
        if contact in self.known:
            self.known[contact].forget(event.time_us)

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

    def _active(self, event: Event) -> list[Enrollment]:
        of_contact = self.of_contact.get((event.tenant, event.contact), [])
        return [enrollment for enrollment in of_contact if enrollment.status == "active"]

    def _evaluate_goals(self, event: Event, outcome: Outcome) -> None:
        """Evaluate all active goals of all active enrollments of the contact (E1)."""
        goal_type = criteria.GOAL_TYPE_OF_EVENT[event.type]
        facts = criteria.facts(goal_type, event.data)
        if goal_type == "tag_added":
            facts["tags"] = self._new_tags(event, facts["tags"])
        received_us = self._received_us
        case = JudgedEvent(event, facts, event.time_us if received_us is None else received_us)
        of_contact = list(self.of_contact.get((event.tenant, event.contact), ()))
        for enrollment in self._active(event):
            workflow = self.workflows.get((event.tenant, enrollment.workflow))
            if workflow is not None:
                self._judge(case, enrollment, workflow, outcome)
        for workflow_id in {enrollment.workflow for enrollment in of_contact}:
            workflow = self.workflows.get((event.tenant, workflow_id))
            runs = [each for each in of_contact if each.workflow == workflow_id]
            if workflow is not None and workflow.is_active:
                self._judge_ended(case, runs, workflow, outcome)

    def _judge_ended(
        self, case: JudgedEvent, runs: list[Enrollment], workflow: Workflow, outcome: Outcome
    ) -> None:
        """Evaluate the active goals of enrollments of a contact in a workflow that have ended. The
        latest one for which the event counts gets it, unless it has counted in the workflow
        (E18)."""
        event = case.event
        identity = (event.source, event.id)
        for run in sorted(runs, key=_latest_end):
            used = self.used.get((event.tenant, event.contact, run.workflow), {})
            if identity in used or identity == run.started_by or not self._may_meet(run):
                continue
            matched = [
                goal
                for goal in self._matched(case, run, workflow)
                if self._watches(goal, run, max(case.received_us, event.time_us))
            ]
            any_goal = workflow.goal_logic == "any"
            chosen = matched[:1] if any_goal else matched
            new = [goal for goal in chosen if goal.id not in run.met]
            met = {*run.met, *(goal.id for goal in new)}
            completes = any_goal or met.issuperset(
                goal.id for goal in workflow.goals if goal.is_active
            )
            if not matched or not (new or completes):
                continue
            for goal in new:
                run.met.append(goal.id)
                achieved = replace(_achievement(event, run, goal), after_end=True)
                self.achievements.append(achieved)
                outcome.achieved.append(achieved)
            if completes:
                run.met_after_end_us = event.time_us
            self._use(event, run)
            return

    def _may_meet(self, run: Enrollment) -> bool:
        """Whether it has ended, otherwise than by goals or a deletion, and has goals to meet."""
        deleted = self.deleted.get((run.tenant, run.contact), run.began_us - 1)
        return (
            run.status in reading.ENDED_REASONS
            and run.ended_at_us is not None
            and (run.ended_at_us > run.enrolled_at_us or run.start_is_known)
            and run.met_after_end_us is None
            and deleted < run.began_us
        )

    def _watches(self, goal: Goal, run: Enrollment, time_us: int) -> bool:
        if goal.conversion_window_us is not None:
            return time_us <= run.enrolled_at_us + goal.conversion_window_us
        return self.late_us > 0 and time_us <= (run.ended_at_us or 0) + self.late_us

    def _judge(
        self, case: JudgedEvent, enrollment: Enrollment, workflow: Workflow, outcome: Outcome
    ) -> None:
        """Evaluate the active goals of one enrollment. If the workflow is paused, its first event
        that would have counted is kept (E19)."""
        event = case.event
        identity = (event.source, event.id)
        if identity in enrollment.excluded or identity == enrollment.started_by:
            return
        matched = self._matched(case, enrollment, workflow)
        if matched and workflow.is_active:
            self._meet(event, enrollment, workflow, matched, outcome)
        elif enrollment.missed is None and _would_change(enrollment, workflow, matched):
            enrollment.missed = case

    def _matched(self, case: JudgedEvent, enrollment: Enrollment, workflow: Workflow) -> list[Goal]:
        """The active goals that an event matches for an enrollment (E2, E3, E17)."""
        event = case.event
        goal_type = criteria.GOAL_TYPE_OF_EVENT[event.type]
        facts = {**case.facts, "by_case": event.tenant in self.by_case}
        return [
            goal
            for goal in workflow.goals
            if goal.is_active
            and goal.goal_type == goal_type
            and self._not_retroactive(event, enrollment, goal)
            and criteria.met(goal_type, goal.criteria, facts)
            and criteria.same_values(goal.criteria, enrollment.match, event.data)
        ]

    def _new_tags(
        self, event: Event, tags: list[tuple[str | None, str | None]]
    ) -> list[tuple[str | None, str | None]]:
        """Those that the contact did not have before the event (E16)."""
        known = self.known.get((event.tenant, event.contact), KnownContact())
        return [tag for tag in tags if known.is_new(*tag, (event.source, event.id))]

    def _describe(self, event: Event) -> None:
        """Record tags or a stage that an event gives, unless its contact was deleted later. An
        event that is dated ahead gives them in the millisecond in which it was received."""
        received_us = self._received_us
        ahead = event.time_us if received_us is None else received_us // 1_000 * 1_000
        at_us = min(event.time_us, ahead)
        if self._is_deleted(event, at_us):
            return
        known = self.known.setdefault(
            (event.tenant, event.contact), KnownContact(by_case=event.tenant in self.by_case)
        )
        given: tuple[int, EventId, int] = at_us, (event.source, event.id), event.time_us
        if event.type == "pipeline.stage.changed":
            stage = reading.optional_id(event.data, "stage_id")
            if stage is not None:
                known.move(reading.optional_id(event.data, "pipeline_id"), stage, *given)
            return
        for id_, name in contacts.tags_in(event.data):
            if event.type == "contact.tag.added":
                known.add(id_, name, *given)
            elif event.type == "contact.tag.removed":
                known.remove(id_, name, *given)

    def _not_retroactive(self, event: Event, enrollment: Enrollment, goal: Goal) -> bool:
        """Whether the event is at or after the enrollment and the goal's first activation (E3)."""
        if goal.effective_from_us is None:
            return False
        time_us = event.time_us + self.clock_skew_us
        return time_us >= enrollment.enrolled_at_us and time_us >= goal.effective_from_us

    def _meet(
        self,
        event: Event,
        enrollment: Enrollment,
        workflow: Workflow,
        matched: list[Goal],
        outcome: Outcome,
        uses: bool = True,
    ) -> None:
        """`any`: the oldest matched goal completes. `all`: the last of all goals completes (E4)."""
        any_goal = workflow.goal_logic == "any"
        new = False
        for goal in matched[:1] if any_goal else matched:
            if goal.id not in enrollment.met:
                new = True
                enrollment.met.append(goal.id)
                achievement = _achievement(event, enrollment, goal)
                self.achievements.append(achievement)
                outcome.achieved.append(achievement)
        active = [goal.id for goal in workflow.goals if goal.is_active]
        completes = any_goal or all(goal_id in enrollment.met for goal_id in active)
        if uses and (new or completes):
            self._use(event, enrollment)
        if not completes:
            return
        enrollment.status = "completed_goal"
        enrollment.ended_at_us = event.time_us
        command = Exit(
            tenant=event.tenant,
            workflow=enrollment.workflow,
            enrollment=enrollment.id,
            contact=enrollment.contact,
            goal_type=matched[0].goal_type,
            goal_ids=_in_goal_order(enrollment.met, workflow),
            achieved_at_us=event.time_us,
            event_id=event.id,
            event_source=event.source,
        )
        self.exits.append(command)
        outcome.exited.append(command)

    def _use(self, event: Event, enrollment: Enrollment) -> None:
        """The event counted for an enrollment (E11)."""
        runs = (event.tenant, event.contact, enrollment.workflow)
        used = self.used.setdefault(runs, {})
        identity, began = (event.source, event.id), enrollment.began_us
        used[identity] = max(began, used.get(identity, began))


def _latest_end(run: Enrollment) -> tuple[int, int, str]:
    """Sorts enrollments by their ends, the latest first."""
    return -(run.ended_at_us or 0), -run.enrolled_at_us, run.id


def _would_change(enrollment: Enrollment, workflow: Workflow, matched: list[Goal]) -> bool:
    """Whether an event that matches these goals would count, if the workflow were active."""
    if not matched or workflow.goal_logic == "any":
        return bool(matched)
    met = {*enrollment.met, *(goal.id for goal in matched)}
    active = {goal.id for goal in workflow.goals if goal.is_active}
    return met != set(enrollment.met) or active <= met


def _achievement(event: Event, enrollment: Enrollment, goal: Goal) -> Achievement:
    return Achievement(
        tenant=event.tenant,
        workflow=enrollment.workflow,
        enrollment=enrollment.id,
        contact=enrollment.contact,
        goal=goal.id,
        goal_type=goal.goal_type,
        achieved_at_us=event.time_us,
        event_id=event.id,
        event_source=event.source,
    )


def _in_goal_order(met: list[str], workflow: Workflow) -> tuple[str, ...]:
    configured = [goal.id for goal in workflow.goals]
    removed = [goal_id for goal_id in met if goal_id not in configured]
    return (*removed, *(goal_id for goal_id in configured if goal_id in met))
