"""The limit of active enrollments holds over crashes, redeliveries and lost replies (E5, D1, D2).

A start that was refused may be evaluated again after a failure, when its contact has a free place:
then it begins its enrollment. So which starts are refused may depend on failures, but no contact
ever has more active enrollments than it may, and every start begins its enrollment or is
dead-lettered.
"""

import asyncio
from collections import Counter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.support.pipeline.crash_simulation import START_US, CrashSimulation
from tests.support.pipeline.virtual_time import LoopClock, VirtualTimeLoop

from goald.domain.fail_points import FailPoint
from goald.redis_keys import DEAD

LIMIT = 2
FAULTS = st.one_of(
    st.sampled_from(["kill", "wait", "iterate", "lose commit", "lose dead_letter", "lose repeats"]),
    st.sampled_from(list(FailPoint)),
)
STEPS = st.one_of(
    st.tuples(st.just("start"), st.integers(0, 7)),
    st.tuples(st.just("end"), st.integers(0, 7)),
    st.tuples(FAULTS, st.booleans()),
)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=st.lists(STEPS, min_size=5, max_size=40), seed=st.integers(0, 1_000_000))
def test_no_contact_exceeds_the_limit_and_no_start_is_lost(
    steps: list[tuple[str | FailPoint, int]], seed: int
) -> None:
    loop = VirtualTimeLoop()
    try:
        loop.run_until_complete(_run(loop, steps, seed))
    finally:
        loop.close()


async def _run(loop: VirtualTimeLoop, steps: list[tuple[str | FailPoint, int]], seed: int) -> None:
    simulation = CrashSimulation(LoopClock(loop, START_US), seed, max_enrollments=LIMIT)
    started: dict[str, str] = {}
    await asyncio.sleep(0.2)  # until both processes run
    try:
        for step, argument in steps:
            await _take(simulation, step, argument, started)
            _check_limit(simulation)
        draining = asyncio.ensure_future(simulation.drain())
        while not draining.done():
            _check_limit(simulation)
            await asyncio.sleep(0.01)
        await draining
        assert not simulation.errors
        entries = simulation.streams.entries(DEAD)
        dead = {fields[fields.index(b"id") + 1].decode() for _, fields in entries}
        for entry, enrollment in started.items():
            is_known = ("acme", enrollment) in simulation.database.enrollments
            assert is_known or entry in dead, f"{enrollment} is neither stored nor dead-lettered"
    finally:
        simulation.kill_all()
        rest = asyncio.all_tasks(loop) - {asyncio.current_task(loop)}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)


async def _take(
    simulation: CrashSimulation, step: str | FailPoint, argument: int, started: dict[str, str]
) -> None:
    ids = {"workflow_id": "w-any", "enrollment_id": f"e-{argument}"}
    if step == "start":
        await simulation.send("workflow.enrollment.started", "acme", "ann", **ids)
        started[list(simulation.expected.events)[-1]] = ids["enrollment_id"]
    elif step == "end":
        await simulation.send("workflow.enrollment.ended", "acme", "ann", reason="exited", **ids)
    elif isinstance(step, FailPoint):
        for process in simulation.running.values():
            process.control.bomb = (step, 1 + argument)
    elif step == "kill":
        simulation.running["shard" if argument else "consumer"].kill()
    elif step.startswith("lose"):
        simulation.services.faults.append((step.split()[1], bool(argument)))
    elif step == "wait":
        await asyncio.sleep(0.6)
    else:
        for _ in range(20):
            await asyncio.sleep(0)


def _check_limit(simulation: CrashSimulation) -> None:
    rows = simulation.database.enrollments.values()
    active = Counter(row.contact_id for row in rows if row.status == "active")
    assert all(count <= LIMIT for count in active.values()), active
