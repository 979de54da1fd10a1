"""Property test of the pipeline with a crash, a redelivery or a lost reply at any fail point.

However processes die, freeze, are replaced while they run, or lose a reply: no exit is lost,
doubled or unjustified, no event is acknowledged before it has had its effects, and within a minute
after the faults end, every event has had its effects (D1, D2, D3, D6).
"""

import asyncio
import os
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.support.pipeline.crash_simulation import (
    GOALS,
    PAUSED_WORKFLOW,
    ROLES,
    START_US,
    STATE_WORKFLOW,
    CrashSimulation,
)
from tests.support.pipeline.expected_effects import REFUSED_CONTACT
from tests.support.pipeline.virtual_time import LoopClock, VirtualTimeLoop

from goald.domain.fail_points import FailPoint

RUNS = int(os.environ.get("CRASH_RUNS", "300"))
SHRINKS = os.environ.get("CRASH_SHRINK", "1") == "1"
"""Whether a failing run is shrunk before it is reported."""
STEPS = 50
CONTACTS = st.tuples(st.sampled_from(["acme", "globex"]), st.sampled_from(["ann", "bob", "cyd"]))
ENROLLMENTS = st.sampled_from(["e-1", "e-2", "e-3", "e-4", "e-5", "e-6"])
WORKFLOWS = st.sampled_from([f"w-{logic}" for logic in GOALS])
TAGS = st.sampled_from(["Customer", "Friend", "Subscriber"])
CALLS = st.sampled_from(
    ["commit", "check", "publish", "dead_letter", "acknowledge", "read", "mark_published", "renew",
     "unpublished", "load", "load_contacts", "contacts", "acquire", "fence", "process",
     "configuration", "missed", "missed_workflows", "forget_missed", "ended",
     "ends"]
)  # fmt: skip
EXIT_FAIL_POINTS = [
    FailPoint.EVALUATED, FailPoint.LEASE_LOCKED, FailPoint.COMMITTED, FailPoint.APPLIED,
    FailPoint.PUBLISHED, FailPoint.DONE, FailPoint.MARKED, FailPoint.SHARDS_DONE,
    FailPoint.ACKNOWLEDGED,
]  # fmt: skip


class CrashMachine(RuleBasedStateMachine):
    """Rules that send events and rules that inject faults. Other rules let the simulation run for
    a few iterations of its loop, or for some seconds of virtual time."""

    @initialize(
        seed=st.integers(0, 1_000_000),
        fail_point=st.none() | st.sampled_from(list(FailPoint)),
        call=st.none() | CALLS,
        takes_effect=st.booleans(),
    )
    def begin(
        self, seed: int, fail_point: FailPoint | None, call: str | None, takes_effect: bool
    ) -> None:
        """The faults are those of the activation at the end."""
        self.of_activation = fail_point, call, takes_effect
        self.loop = VirtualTimeLoop()
        self.completions = 0
        self.simulation = self.run(self._simulation(seed))

    async def _simulation(self, seed: int) -> CrashSimulation:
        return CrashSimulation(LoopClock(self.loop, START_US), seed)

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        if not hasattr(self, "simulation"):
            return
        try:
            self.run(self.simulation.drain())
            self._activate(*self.of_activation)
            self.run(self.simulation.drain())
            self.no_process_ended_with_an_unexpected_error()
            self.simulation.expected.check_all(self.simulation.streams, self.simulation.database)
        finally:
            self.simulation.kill_all()
            self.run(asyncio.sleep(0))
            self.run(_cancel_all(self.loop))
            self.loop.close()

    def _activate(self, fail_point: FailPoint | None, call: str | None, takes_effect: bool) -> None:
        """Activate the workflow that was paused until now, with these faults."""
        if fail_point is not None:
            self.die_at(fail_point, 1)
        if call is not None:
            self.lose(call, takes_effect)
        self.run(self.simulation.activate())
        self.wait(0.6)

    # Events

    @rule(
        contact=CONTACTS,
        enrollment=ENROLLMENTS,
        workflow=WORKFLOWS,
        tags=st.lists(TAGS, max_size=3),
    )
    def enroll(
        self, contact: tuple[str, str], enrollment: str, workflow: str, tags: list[str]
    ) -> None:
        ids = {"workflow_id": workflow, "enrollment_id": enrollment}
        self.run(self.simulation.send("workflow.enrollment.started", *contact, **ids))
        for tag in tags:
            self.tag(contact, tag)

    @rule(contact=CONTACTS, tag=TAGS)
    def tag(self, contact: tuple[str, str], tag: str) -> None:
        self.run(self.simulation.send("contact.tag.added", *contact, tag_name=tag))

    @rule(contact=CONTACTS, workflow=WORKFLOWS)
    def complete(self, contact: tuple[str, str], workflow: str) -> None:
        """Start an enrollment and send every event that its goals need."""
        self.completions += 1
        self.enroll(contact, f"x-{self.completions}", workflow, ["Customer", "Friend"])

    @rule(contact=CONTACTS, workflow=WORKFLOWS, waits=st.booleans(), started_by=st.booleans())
    def enroll_again(
        self, contact: tuple[str, str], workflow: str, waits: bool, started_by: bool
    ) -> None:
        """Enroll a contact by the event that counted for its earlier enrollment, and send that
        event again: it counts for one of them."""
        self.completions += 2
        first, second = (f"x-{self.completions - number}" for number in (1, 0))
        self.enroll(contact, first, workflow, [])
        self.tag(contact, "Customer")
        counted = self.simulation.sent[-1]
        data = {"workflow_id": workflow, "enrollment_id": second, "enrolled_at": counted["time"]}
        if started_by:
            data["started_by"] = {"source": counted["source"], "id": counted["id"]}
        if waits:
            self.wait(0.2)
        self.run(self.simulation.send("workflow.enrollment.started", *contact, **data))
        self.run(self.simulation.publish(counted))
        self.run(self.simulation.publish(counted))

    @rule(contact=CONTACTS, tags=st.lists(TAGS, max_size=3), workflow=st.none() | WORKFLOWS)
    def list_tags(self, contact: tuple[str, str], tags: list[str], workflow: str | None) -> None:
        """Send all tags of a contact, perhaps directly after an enrollment: only those that it did
        not have before count."""
        self.completions += 1
        if workflow is not None:
            self.enroll(contact, f"x-{self.completions}", workflow, [])
        self.run(self.simulation.send("contact.tag.added", *contact, tags=tags))

    @rule(contact=CONTACTS, tag=TAGS)
    def remove_tag(self, contact: tuple[str, str], tag: str) -> None:
        self.run(self.simulation.send("contact.tag.removed", *contact, tag_name=tag))

    @rule(contact=CONTACTS, gives=st.sampled_from(["tag", "list", "nothing"]), waits=st.booleans())
    def enroll_with_a_state(self, contact: tuple[str, str], gives: str, waits: bool) -> None:
        """Enroll a contact in a workflow whose goal it may have met before."""
        self.completions += 1
        if gives == "tag":
            self.tag(contact, "Subscriber")
        elif gives == "list":
            self.list_tags(contact, ["Friend", "Subscriber"], None)
        if waits:
            self.wait(0.2)
        self.enroll(contact, f"x-{self.completions}", STATE_WORKFLOW, [])

    @rule(contact=CONTACTS, waits=st.booleans(), tags=st.lists(TAGS, max_size=2))
    def enroll_in_a_paused_workflow(
        self, contact: tuple[str, str], waits: bool, tags: list[str]
    ) -> None:
        """Enroll a contact in a workflow that is paused until the end (E19)."""
        self.completions += 1
        self.enroll(contact, f"x-{self.completions}", PAUSED_WORKFLOW, [])
        if waits:
            self.wait(0.2)
        for tag in tags:
            self.tag(contact, tag)

    @rule(
        contact=CONTACTS, workflow=WORKFLOWS, waits=st.tuples(st.booleans(), st.booleans()),
        tags=st.lists(TAGS, min_size=1, max_size=3), again=st.booleans(),
    )  # fmt: skip
    def tag_after_the_end(
        self,
        contact: tuple[str, str],
        workflow: str,
        waits: tuple[bool, bool],
        tags: list[str],
        again: bool,
    ) -> None:
        """Enroll a contact, end the enrollment, and send events that meet its goals all the same,
        perhaps twice (E18)."""
        self.completions += 1
        enrollment = f"x-{self.completions}"
        self.enroll(contact, enrollment, workflow, [])
        if waits[0]:
            self.wait(0.2)
        self.end(contact, enrollment, workflow)
        if waits[1]:
            self.wait(0.2)
        for tag in tags:
            self.tag(contact, tag)
        if again:
            self.run(self.simulation.send_again(len(tags), len(tags)))

    @rule(contact=CONTACTS, waits=st.booleans(), paid=st.sampled_from(["c-1", "c-2", "c-3"]))
    def pay_one_of_two_carts(self, contact: tuple[str, str], waits: bool, paid: str) -> None:
        """Enroll a contact for two carts, and pay one of them, or a third: the run of that cart
        exits (E17)."""
        self.completions += 2
        kind = "workflow.enrollment.started"
        for number, cart in enumerate(("c-1", "c-2")):
            ids = {"workflow_id": "w-any", "enrollment_id": f"x-{self.completions - number}"}
            self.run(self.simulation.send(kind, *contact, **ids, match={"cart": cart}))
        if waits:
            self.wait(0.2)
        tag = {"tag_name": "Paid", "cart": paid}
        self.run(self.simulation.send("contact.tag.added", *contact, **tag))

    @rule(
        contact=CONTACTS,
        workflow=WORKFLOWS,
        before=st.lists(TAGS, max_size=4),
        refused=st.integers(0, 4),
    )
    def complete_behind_others(
        self, contact: tuple[str, str], workflow: str, before: list[str], refused: int
    ) -> None:
        """Send events together that are read in several batches: tags, then an enrollment and what
        its goals need. Postgres may refuse an event of another tenant between them."""
        self.completions += 1
        ids = {"workflow_id": workflow, "enrollment_id": f"x-{self.completions}"}
        tags = [("contact.tag.added", {"tag_name": tag}) for tag in (*before, "Customer", "Friend")]
        events = [*tags[:-2], ("workflow.enrollment.started", ids), *tags[-2:]]
        self.run(self._send_together(contact, events, refused))

    @rule(contact=CONTACTS, workflow=WORKFLOWS)
    def complete_across_a_bisection(self, contact: tuple[str, str], workflow: str) -> None:
        """While a commit is open, send the events of the next group: an exit, an enrollment that
        may be deferred behind it, an event that Postgres refuses, and the enrollment's tags."""
        self.completions += 2
        exits, deferred = (f"x-{self.completions - number}" for number in (1, 0))
        started, tag = "workflow.enrollment.started", "contact.tag.added"
        events = [
            (started, {"workflow_id": "w-any", "enrollment_id": exits}),
            (tag, {"tag_name": "Customer"}),
            (started, {"workflow_id": workflow, "enrollment_id": deferred}),
            (tag, {"tag_name": "Customer"}),
            (tag, {"tag_name": "Friend"}),
        ]
        self.wait(0.6)
        self.tag(contact, "Subscriber")
        self.iterate(20)
        self.run(self._send_together(contact, events, refused=3))
        self.wait(0.2)

    async def _send_together(
        self, contact: tuple[str, str], events: list[tuple[str, dict[str, str]]], refused: int
    ) -> None:
        tenant = "globex" if contact[0] == "acme" else "acme"
        for number, (kind, data) in enumerate(events):
            if number == refused:
                await self._send_refused(tenant)
            await self.simulation.send(kind, *contact, **data)

    @rule(tenant=st.sampled_from(["acme", "globex"]))
    def send_refused(self, tenant: str) -> None:
        """Send an event whose content Postgres refuses."""
        self.run(self._send_refused(tenant))

    async def _send_refused(self, tenant: str) -> None:
        self.completions += 1
        ids = {"workflow_id": "w-any", "enrollment_id": f"x-{self.completions}"}
        kind = "workflow.enrollment.started"
        await self.simulation.send(kind, tenant, REFUSED_CONTACT, **ids)

    @rule(contact=CONTACTS, enrollment=ENROLLMENTS, workflow=WORKFLOWS)
    def end(self, contact: tuple[str, str], enrollment: str, workflow: str) -> None:
        ids = {"workflow_id": workflow, "enrollment_id": enrollment, "reason": "exited"}
        self.run(self.simulation.send("workflow.enrollment.ended", *contact, **ids))

    @rule(contact=CONTACTS)
    def delete(self, contact: tuple[str, str]) -> None:
        self.run(self.simulation.send("contact.deleted", *contact))

    @rule()
    def send_garbage(self) -> None:
        self.run(self.simulation.publish(None))

    @rule(back=st.integers(1, 20), count=st.integers(1, 5))
    def send_again(self, back: int, count: int) -> None:
        self.run(self.simulation.send_again(back, count))

    # Progress

    @rule(count=st.integers(1, 40))
    def iterate(self, count: int) -> None:
        self.run(_iterations(count))

    @rule(seconds=st.sampled_from([0.02, 0.2, 0.6, 1.5]))
    def wait(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    # Faults

    @rule(role=st.sampled_from(ROLES))
    def kill(self, role: str) -> None:
        self.simulation.running[role].kill()

    @rule(contact=CONTACTS, workflow=WORKFLOWS, fail_point=st.sampled_from(EXIT_FAIL_POINTS))
    def die_during_an_exit(
        self, contact: tuple[str, str], workflow: str, fail_point: FailPoint
    ) -> None:
        self.wait(0.2)
        self.die_at(fail_point, 1)
        self.complete(contact, workflow)
        self.wait(0.2)

    @rule(contact=CONTACTS, workflow=WORKFLOWS, call=CALLS, takes_effect=st.booleans())
    def lose_a_call_during_an_exit(
        self, contact: tuple[str, str], workflow: str, call: str, takes_effect: bool
    ) -> None:
        self.wait(0.2)
        self.complete(contact, workflow)
        self.lose(call, takes_effect)
        self.wait(0.2)

    @rule(contact=CONTACTS, workflow=WORKFLOWS, of_the_exit=st.booleans())
    def lose_the_reply_of_a_commit(
        self, contact: tuple[str, str], workflow: str, of_the_exit: bool
    ) -> None:
        """The enrollment or its exit is committed, and the shard does not know it."""
        self.completions += 1
        self.wait(0.6)
        if not of_the_exit:
            self.lose("commit", takes_effect=True)
        self.enroll(contact, f"x-{self.completions}", workflow, [])
        self.wait(0.6)
        if of_the_exit:
            self.lose("commit", takes_effect=True)
        self.tag(contact, "Customer")
        self.tag(contact, "Friend")
        self.wait(0.2)

    @rule(fail_point=st.sampled_from(list(FailPoint)), times=st.integers(1, 3))
    def die_at(self, fail_point: FailPoint, times: int) -> None:
        for process in self.simulation.running.values():
            process.control.bomb = (fail_point, times)

    @rule(call=CALLS, takes_effect=st.booleans())
    def lose(self, call: str, takes_effect: bool) -> None:
        self.simulation.services.faults.append((call, takes_effect))

    @rule(role=st.sampled_from(ROLES), freezes=st.booleans())
    def replace(self, role: str, freezes: bool) -> None:
        """Start another process in its place, while it keeps running or is frozen."""
        if freezes:
            self.simulation.running[role].control.freeze()
        self.simulation.replace(role)

    @rule()
    def thaw(self) -> None:
        for _, process in self.simulation.replaced:
            process.control.thaw()

    @rule(
        contact=CONTACTS,
        enrollment=ENROLLMENTS,
        workflow=WORKFLOWS,
        tag=TAGS,
        older_first=st.booleans(),
    )
    def split(
        self, contact: tuple[str, str], enrollment: str, workflow: str, tag: str, older_first: bool
    ) -> None:
        """A second shard runs next to the first; the consumer's calls reach one, then the other."""
        self.replace("shard", freezes=False)
        self.wait(0.2)
        self.route_to_replaced(older_first)
        self.enroll(contact, enrollment, workflow, [])
        self.wait(0.2)
        self.route_to_replaced(not older_first)
        self.tag(contact, tag)
        self.wait(0.2)
        self.route_to_replaced(False)

    @rule(to_replaced=st.booleans())
    def route_to_replaced(self, to_replaced: bool) -> None:
        """The consumer's calls reach the replaced shard."""
        self.simulation.routes_to_replaced = to_replaced

    @rule(service=st.sampled_from(["store", "streams"]))
    def disable_service(self, service: str) -> None:
        self.simulation.services.unavailable.add(service)

    @rule()
    def restore_services(self) -> None:
        self.simulation.services.unavailable.clear()

    @rule(role=st.sampled_from(ROLES))
    def stop(self, role: str) -> None:
        """Stop a process as SIGTERM does."""
        self.simulation.running[role].process.stop()

    # Invariants

    @invariant()
    def nothing_is_lost_doubled_or_unjustified(self) -> None:
        if hasattr(self, "simulation"):
            self.simulation.expected.check(self.simulation.streams, self.simulation.database)

    @invariant()
    def no_process_ended_with_an_unexpected_error(self) -> None:
        if hasattr(self, "simulation") and self.simulation.errors:
            raise self.simulation.errors[0]


async def _iterations(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def _cancel_all(loop: VirtualTimeLoop) -> None:
    """Cancel every other task of the loop and wait until they have ended."""
    rest = asyncio.all_tasks(loop) - {asyncio.current_task(loop)}
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)


CrashMachine.TestCase.settings = settings(
    max_examples=RUNS,
    stateful_step_count=STEPS,
    deadline=None,
    report_multiple_bugs=False,
    phases=list(Phase) if SHRINKS else [Phase.generate],
    suppress_health_check=list(HealthCheck),
)
TestNoCrashLosesOrDoublesAnExit = CrashMachine.TestCase
