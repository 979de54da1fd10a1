"""Rounds on stages: one stage is up at a time, and serves as long as its rounds go well."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import pytest
from tests.fault.faults.all_faults import FAULTS
from tests.fault.harness.registry import REST_S, Fault, Round
from tests.fault.harness.stage import Stage

SEED = int(os.environ.get("FAULT_SEED", "1"))
"""Of the first round of each fault in `make test`; the next ones count on from it."""


class Stages:
    """Gives a round the stage that it needs."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._made_by: Callable[[], Stage] | None = None
        self._stage: Stage | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.leave()

    def play(self, fault: Fault, seed: int) -> Round:
        """One round. After one that goes wrong the next has a new stage."""
        if self._stage is None or self._made_by is not fault.stage:
            self.leave()
            self._stage = self._stack.enter_context(fault.stage())
            self._made_by = fault.stage
        try:
            played = fault.run(self._stage, seed)
        except BaseException:
            self.leave()
            raise
        if not (played.is_safe and played.is_live):
            self.leave()
        return played

    def leave(self) -> None:
        """End the stage that is up, if one is."""
        self._stage = None
        self._stack.close()


def rounds(chosen: Callable[[Fault], bool]) -> list[Any]:
    """The parameters of a test that plays the chosen faults, those of one stage together."""
    faults = [fault for fault in FAULTS.values() if chosen(fault)]
    makers = list(dict.fromkeys(fault.stage for fault in faults))
    return [
        pytest.param(fault, number, id=f"{fault.name}-{number}")
        for fault in sorted(faults, key=lambda fault: makers.index(fault.stage))
        for number in range(fault.test)
    ]


def assert_went_well(stages: Stages, fault: Fault, number: int) -> None:
    """Play a round, and hold it to safety and to liveness, apart."""
    seed = SEED + number
    played = stages.play(fault, seed)
    told = f"{fault.name}, FAULT_SEED={seed}: {played.note}"
    assert (played.lost, played.doubled, played.unjustified) == (0, 0, 0), told
    assert played.recovery_s is not None, f"no exits of the probes within {REST_S:.0f} s; {told}"
    assert played.is_live, f"not at rest within {REST_S:.0f} s but {played.rest_s}; {told}"
