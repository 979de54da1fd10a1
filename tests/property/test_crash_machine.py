"""The plain objects, with a crash, a redelivery or a lost answer between any two steps.

However processes die, stand still, are replaced while they live, or lose an answer: no exit
is lost, doubled or unjustified, nothing is acknowledged before it has taken its effect, and
when the faults end all that was published takes effect within a minute (D1, D2, D3, D6).
"""

import asyncio
import os
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.support.pipeline.crash_simulation import GOALS, ROLES, START_US, World
from tests.support.pipeline.virtual_time import LoopClock, VirtualLoop

from goald.domain.fail_points import FailPoint

RUNS = int(os.environ.get("CRASH_RUNS", "300"))
SHRINKS = os.environ.get("CRASH_SHRINK", "1") == "1"
"""Whether a run that fails is made smaller before it is told of."""
STEPS = 50
PEOPLE = st.tuples(st.sampled_from(["acme", "globex"]), st.sampled_from(["ann", "bob", "cyd"]))
ENROLLMENTS = st.sampled_from(["e-1", "e-2", "e-3", "e-4", "e-5", "e-6"])
WORKFLOWS = st.sampled_from([f"w-{logic}" for logic in GOALS])
TAGS = st.sampled_from(["Customer", "Friend", "Stranger"])
CALLS = st.sampled_from(
    ["commit", "check", "publish", "dead_letter", "acknowledge", "read", "mark_published", "renew",
     "unpublished", "load", "load_contacts", "acquire", "fence", "process"]
)  # fmt: skip
AMID = [FailPoint.EVALUATED, FailPoint.LEASE_LOCKED, FailPoint.COMMITTED, FailPoint.APPLIED,
        FailPoint.PUBLISHED, FailPoint.DONE, FailPoint.MARKED,
        FailPoint.SHARDS_DONE, FailPoint.ACKNOWLEDGED]  # fmt: skip


class CrashMachine(RuleBasedStateMachine):
    """Rules of two kinds: what is published, and what goes wrong. Between two of them the
    world goes on by a few turns of its loop, or by some seconds."""

    @initialize(seed=st.integers(0, 1_000_000))
    def begin(self, seed: int) -> None:
        self.loop = VirtualLoop()
        self.left = 0
        self.world = self.run(self._made(seed))

    async def _made(self, seed: int) -> World:
        return World(LoopClock(self.loop, START_US), seed)

    def run(self, work: Any) -> Any:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        try:
            self.run(self.world.settle())
            self.all_ends_are_known()
            self.world.account.check_all(self.world.streams, self.world.database)
        finally:
            self.world.ended()
            self.run(asyncio.sleep(0))
            self.run(_gone(self.loop))
            self.loop.close()

    # What is published

    @rule(who=PEOPLE, enrollment=ENROLLMENTS, workflow=WORKFLOWS, tags=st.lists(TAGS, max_size=3))
    def enrol(self, who: tuple[str, str], enrollment: str, workflow: str, tags: list[str]) -> None:
        ids = {"workflow_id": workflow, "enrollment_id": enrollment}
        self.run(self.world.send("workflow.enrollment.started", *who, **ids))
        for tag in tags:
            self.tag(who, tag)

    @rule(who=PEOPLE, tag=TAGS)
    def tag(self, who: tuple[str, str], tag: str) -> None:
        self.run(self.world.send("contact.tag.added", *who, tag_name=tag))

    @rule(who=PEOPLE, workflow=WORKFLOWS)
    def leave(self, who: tuple[str, str], workflow: str) -> None:
        """A new enrollment, and all that it waits for."""
        self.left += 1
        self.enrol(who, f"x-{self.left}", workflow, ["Customer", "Friend"])

    @rule(who=PEOPLE, enrollment=ENROLLMENTS, workflow=WORKFLOWS)
    def end(self, who: tuple[str, str], enrollment: str, workflow: str) -> None:
        ids = {"workflow_id": workflow, "enrollment_id": enrollment, "reason": "exited"}
        self.run(self.world.send("workflow.enrollment.ended", *who, **ids))

    @rule(who=PEOPLE)
    def delete(self, who: tuple[str, str]) -> None:
        self.run(self.world.send("contact.deleted", *who))

    @rule()
    def send_garbage(self) -> None:
        self.run(self.world.publish(None))

    @rule(back=st.integers(1, 20), count=st.integers(1, 5))
    def send_again(self, back: int, count: int) -> None:
        self.run(self.world.send_again(back, count))

    # What goes on

    @rule(count=st.integers(1, 40))
    def turn(self, count: int) -> None:
        self.run(_turns(count))

    @rule(seconds=st.sampled_from([0.02, 0.2, 0.6, 1.5]))
    def wait(self, seconds: float) -> None:
        self.run(asyncio.sleep(seconds))

    # What goes wrong

    @rule(role=st.sampled_from(ROLES))
    def kill(self, role: str) -> None:
        self.world.living[role].kill()

    @rule(who=PEOPLE, workflow=WORKFLOWS, step=st.sampled_from(AMID))
    def die_amid_an_exit(self, who: tuple[str, str], workflow: str, step: FailPoint) -> None:
        self.wait(0.2)
        self.die_at(step, 1)
        self.leave(who, workflow)
        self.wait(0.2)

    @rule(who=PEOPLE, workflow=WORKFLOWS, call=CALLS, takes_effect=st.booleans())
    def lose_amid_an_exit(
        self, who: tuple[str, str], workflow: str, call: str, takes_effect: bool
    ) -> None:
        self.wait(0.2)
        self.leave(who, workflow)
        self.lose(call, takes_effect)
        self.wait(0.2)

    @rule(step=st.sampled_from(list(FailPoint)), times=st.integers(1, 3))
    def die_at(self, step: FailPoint, times: int) -> None:
        for one in self.world.living.values():
            one.fate.bomb = (step, times)

    @rule(call=CALLS, takes_effect=st.booleans())
    def lose(self, call: str, takes_effect: bool) -> None:
        self.world.services.faults.append((call, takes_effect))

    @rule(role=st.sampled_from(ROLES), freezes=st.booleans())
    def replace(self, role: str, freezes: bool) -> None:
        """Another takes its place, while it lives on or stands still."""
        if freezes:
            self.world.living[role].fate.freeze()
        self.world.replace(role)

    @rule()
    def thaw(self) -> None:
        for _, one in self.world.older:
            one.fate.thaw()

    @rule(
        who=PEOPLE, enrollment=ENROLLMENTS, workflow=WORKFLOWS, tag=TAGS, older_first=st.booleans()
    )
    def split(
        self, who: tuple[str, str], enrollment: str, workflow: str, tag: str, older_first: bool
    ) -> None:
        """A second shard lives beside the first, and the consumer reaches now one, now the
        other."""
        self.replace("shard", freezes=False)
        self.wait(0.2)
        self.mislead(older_first)
        self.enrol(who, enrollment, workflow, [])
        self.wait(0.2)
        self.mislead(not older_first)
        self.tag(who, tag)
        self.wait(0.2)
        self.mislead(False)

    @rule(misleads=st.booleans())
    def mislead(self, misleads: bool) -> None:
        """The consumer goes on with the shard that it had."""
        self.world.misleads = misleads

    @rule(service=st.sampled_from(["store", "streams"]))
    def take_away(self, service: str) -> None:
        self.world.services.is_away.add(service)

    @rule()
    def bring_back(self) -> None:
        self.world.services.is_away.clear()

    @rule(role=st.sampled_from(ROLES))
    def stop(self, role: str) -> None:
        """As a SIGTERM does."""
        self.world.living[role].process.stop()

    # What holds all the time

    @invariant()
    def nothing_is_lost_doubled_or_unjustified(self) -> None:
        if hasattr(self, "world"):
            self.world.account.check(self.world.streams, self.world.database)

    @invariant()
    def all_ends_are_known(self) -> None:
        if hasattr(self, "world") and self.world.errors:
            raise self.world.errors[0]


async def _turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def _gone(loop: VirtualLoop) -> None:
    """Until every task of the loop but this one has ended."""
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
