"""How events meet goals (E1 to E4, E11, E16 to E19, E22)."""

from dataclasses import replace
from typing import Any

from tests.support.reference import contacts, criteria, reading
from tests.support.reference.contacts import KnownContact
from tests.support.reference.reading import Event
from tests.support.reference.records import (
    Achievement,
    Enrollment,
    EventId,
    Exit,
    Goal,
    JudgedEvent,
    Outcome,
    Workflow,
)
from tests.support.reference.state import State


class Goals(State):
    """Evaluates events, and what contacts have when they are enrolled."""

    def _evaluate_goals(self, event: Event, outcome: Outcome) -> None:
        """Evaluate all active goals of all active enrollments of the contact (E1)."""
        goal_type = criteria.GOAL_TYPE_OF_EVENT[event.type]
        facts = criteria.facts(goal_type, event.data)
        if goal_type == "tag_added":
            facts["tags"] = self._new_tags(event, facts["tags"])
        received_us = self._received_us
        case = JudgedEvent(event, facts, event.time_us if received_us is None else received_us)
        of_contact = [
            run
            for run in self.of_contact.get((event.tenant, event.contact), ())
            if received_us is None or run.contact_at(received_us) == self._origins[0][1]
        ]
        for enrollment in [run for run in of_contact if run.status == "active"]:
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
