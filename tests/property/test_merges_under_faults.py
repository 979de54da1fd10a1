"""Property test of merged contacts (E21): two shards, and a crash, a redelivery or a lost reply
between any two steps of a merge. No run is lost or doubled: each exits once, for the first event of
either contact that meets its goals.

Contacts are merged in one direction, because the order of events of different contacts is not
kept: whether `a` is merged into `b` or `b` into `a` first would be undecided.
"""

import asyncio
import os
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.property.test_crash_machine import _cancel_all, _iterations
from tests.support.pipeline.crash_simulation import GOALS, START_US, CrashSimulation
from tests.support.pipeline.virtual_time import LoopClock, VirtualTimeLoop

from goald.domain.fail_points import FailPoint

RUNS = int(os.environ.get("CRASH_RUNS", "60"))
SHRINKS = os.environ.get("CRASH_SHRINK", "1") == "1"
STEPS = 34
CONTACTS = ("ann", "bob", "cyd", "dee")
"""In both shards: the slots of these contacts of acme and globex are below 128 and above it."""
TENANTS = st.sampled_from(["acme", "globex"])
PAIRS = st.sampled_from([(a, b) for a in range(4) for b in range(4) if a < b])
WORKFLOWS = st.sampled_from([f"w-{logic}" for logic in GOALS])
TAGS = st.sampled_from(["Customer", "Friend"])
CALLS = st.sampled_from(
    ["commit", "check", "acknowledge", "read", "load", "load_contacts", "acquire", "fence",
     "process", "transfers", "adopt", "forwards", "forward_secret", "move_ended"]
)  # fmt: skip
MERGE_FAIL_POINTS = [
    FailPoint.EVALUATED, FailPoint.LEASE_LOCKED, FailPoint.COMMITTED, FailPoint.APPLIED,
    FailPoint.DONE, FailPoint.FORWARDED, FailPoint.TRANSFERRED, FailPoint.REDELIVERED,
    FailPoint.SHARDS_DONE, FailPoint.ACKNOWLEDGED, FailPoint.RELOADED, FailPoint.LOADED,
]  # fmt: skip


class MergeMachine(RuleBasedStateMachine):
    @initialize(seed=st.integers(0, 1_000_000))
    def begin(self, seed: int) -> None:
        self.loop = VirtualTimeLoop()
        self.number = 0
        self.simulation = self.run(self._simulation(seed))

    async def _simulation(self, seed: int) -> CrashSimulation:
        clock = LoopClock(self.loop, START_US)
        return CrashSimulation(clock, seed, shards=2, spacing_us=10_000)

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        if not hasattr(self, "simulation"):
            return
        try:
            self.run(self.simulation.drain())
            self.no_process_ended_with_an_unexpected_error()
            self.simulation.expected.check_all(self.simulation.streams, self.simulation.database)
            assert not self.simulation.database.transfers, "a run belongs to no contact"
        finally:
            self.simulation.kill_all()
            self.run(asyncio.sleep(0))
            self.run(_cancel_all(self.loop))
            self.loop.close()

    @rule(tenant=TENANTS, contact=st.sampled_from(CONTACTS), workflow=WORKFLOWS)
    def enroll(self, tenant: str, contact: str, workflow: str) -> None:
        self.number += 1
        ids = {"workflow_id": workflow, "enrollment_id": f"e-{self.number}"}
        self.run(self.simulation.send("workflow.enrollment.started", tenant, contact, **ids))
        if self.simulation.expected.model.end_of(tenant, contact) != contact:
            # An event of the other contact may count for another run before this one starts, and
            # then does not count for this one (E11).
            self.run(self.simulation.drain())

    @rule(tenant=TENANTS, contact=st.sampled_from(CONTACTS), tag=TAGS)
    def tag(self, tenant: str, contact: str, tag: str) -> None:
        self.run(self.simulation.send("contact.tag.added", tenant, contact, tag_name=tag))

    @rule(tenant=TENANTS, pair=PAIRS)
    def merge(self, tenant: str, pair: tuple[int, int]) -> None:
        contact, into = (CONTACTS[at] for at in pair)
        if self.simulation.expected.model.end_of(tenant, contact) == contact:
            event = self.simulation.send("contact.merged", tenant, contact, into_contact_id=into)
            self.run(event)

    @rule(
        tenant=TENANTS,
        pair=PAIRS,
        workflow=WORKFLOWS,
        fail_point=st.sampled_from(MERGE_FAIL_POINTS),
        times=st.integers(1, 3),
        tags_before=st.booleans(),
    )
    def die_during_a_merge(
        self,
        tenant: str,
        pair: tuple[int, int],
        workflow: str,
        fail_point: FailPoint,
        times: int,
        tags_before: bool,
    ) -> None:
        """The contact has a run, and the event that completes it is one of the other contact,
        unless Redis received it before the merge."""
        self.enroll(tenant, CONTACTS[pair[0]], workflow)
        if tags_before:
            self.tag(tenant, CONTACTS[pair[1]], "Customer")
        self.die_at(fail_point, times)
        self.merge(tenant, pair)
        if not tags_before:
            self.tag(tenant, CONTACTS[pair[1]], "Customer")
        self.tag(tenant, CONTACTS[pair[0]], "Friend")
        self.wait(0.2)

    @rule(tenant=TENANTS, pair=PAIRS, call=CALLS, takes_effect=st.booleans())
    def lose_a_call_during_a_merge(
        self, tenant: str, pair: tuple[int, int], call: str, takes_effect: bool
    ) -> None:
        self.enroll(tenant, CONTACTS[pair[0]], "w-any")
        self.simulation.services.faults.append((call, takes_effect))
        self.merge(tenant, pair)
        self.tag(tenant, CONTACTS[pair[1]], "Customer")
        self.wait(0.2)

    @rule(
        tenant=TENANTS,
        pair=PAIRS,
        workflow=WORKFLOWS,
        fail_point=st.sampled_from(MERGE_FAIL_POINTS),
        times=st.integers(1, 3),
        merges=st.booleans(),
    )
    def die_during_a_deletion(
        self,
        tenant: str,
        pair: tuple[int, int],
        workflow: str,
        fail_point: FailPoint,
        times: int,
        merges: bool,
    ) -> None:
        """Of a contact that may continue others, which begin a new life. Events of the others that
        are in flight would be of either life."""
        self.run(self.simulation.processed())
        self.enroll(tenant, CONTACTS[pair[0]], workflow)
        self.run(self.simulation.processed())
        self.die_at(fail_point, times)
        if merges:
            self.merge(tenant, pair)
        self.run(self.simulation.delete(tenant, CONTACTS[pair[1]]))
        self.run(self.simulation.processed())
        self.enroll(tenant, CONTACTS[pair[0]], workflow)
        self.die_at(fail_point, times)
        self.tag(tenant, CONTACTS[pair[0]], "Customer")

    @rule(fail_point=st.sampled_from(list(FailPoint)), times=st.integers(1, 3))
    def die_at(self, fail_point: FailPoint, times: int) -> None:
        for process in self.simulation.running.values():
            process.control.bomb = (fail_point, times)

    @rule(back=st.integers(1, 20), count=st.integers(1, 5))
    def send_again(self, back: int, count: int) -> None:
        self.run(self.simulation.send_again(back, count))

    @rule(count=st.integers(1, 40))
    def iterate(self, count: int) -> None:
        self.run(_iterations(count))

    @rule(seconds=st.sampled_from([0.02, 0.2, 1.5, 6.0]))
    def wait(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    @rule(role=st.sampled_from(["consumer", "shard", "shard-1"]))
    def kill(self, role: str) -> None:
        self.simulation.running[role].kill()

    @rule(role=st.sampled_from(["consumer", "shard", "shard-1"]), freezes=st.booleans())
    def replace(self, role: str, freezes: bool) -> None:
        if freezes:
            self.simulation.running[role].control.freeze()
        self.simulation.replace(role)

    @rule()
    def thaw(self) -> None:
        for _, process in self.simulation.replaced:
            process.control.thaw()

    @invariant()
    def nothing_is_lost_doubled_or_unjustified(self) -> None:
        if hasattr(self, "simulation"):
            self.simulation.expected.check(self.simulation.streams, self.simulation.database)

    @invariant()
    def no_process_ended_with_an_unexpected_error(self) -> None:
        if hasattr(self, "simulation") and self.simulation.errors:
            raise self.simulation.errors[0]


MergeMachine.TestCase.settings = settings(
    max_examples=RUNS,
    stateful_step_count=STEPS,
    deadline=None,
    report_multiple_bugs=False,
    phases=list(Phase) if SHRINKS else [Phase.generate],
    suppress_health_check=list(HealthCheck),
)
TestNoCrashLosesOrDoublesARunOfAMergedContact = MergeMachine.TestCase
