"""Runs rounds of faults, each in the environment that it needs, one environment at a time."""

import os
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

import pytest
from tests.fault.faults.all_faults import FAULTS
from tests.fault.harness.environment import FaultEnvironment
from tests.fault.harness.registry import IDLE_DEADLINE_S, Fault, Round

SEED = int(os.environ.get("FAULT_SEED", "1"))
"""The seed of the first round of each fault in `make test`; each further round adds one."""


class EnvironmentPool:
    """Starts the environment of a round, and keeps it for further rounds that need the same."""

    def __init__(self) -> None:
        self._stack = ExitStack()
        self._factory: Callable[[], FaultEnvironment] | None = None
        self._environment: FaultEnvironment | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def run(self, fault: Fault, seed: int) -> Round:
        """Run one round. After a round that fails, the next one gets a new environment."""
        if self._environment is None or self._factory is not fault.environment:
            self.close()
            self._environment = self._stack.enter_context(fault.environment())
            self._factory = fault.environment
        try:
            result = fault.run(self._environment, seed)
        except BaseException:
            self.close()
            raise
        if not (result.is_safe and result.is_live):
            self.close()
        return result

    def close(self) -> None:
        """Stop the current environment, if there is one."""
        self._environment = None
        self._stack.close()


def round_params(selects: Callable[[Fault], bool]) -> list[Any]:
    """The parameters of a test that runs the selected faults, grouped by environment."""
    faults = [fault for fault in FAULTS.values() if selects(fault)]
    factories = list(dict.fromkeys(fault.environment for fault in faults))
    return [
        pytest.param(fault, number, id=f"{fault.name}-{number}")
        for fault in sorted(faults, key=lambda fault: factories.index(fault.environment))
        for number in range(fault.test_rounds)
    ]


def assert_safe_and_live(environments: EnvironmentPool, fault: Fault, number: int) -> None:
    """Run a round, and assert its safety and its liveness separately."""
    seed = SEED + number
    result = environments.run(fault, seed)
    times = f"exits of the probes after {result.recovery_s} s, idle after {result.idle_s} s"
    label = f"{fault.name}, FAULT_SEED={seed}, {times}: {result.note}"
    deadline = f"within {IDLE_DEADLINE_S:.0f} s"
    assert (result.lost, result.doubled, result.unjustified) == (0, 0, 0), label
    assert result.recovery_s is not None, f"no exits of the probes {deadline}; {label}"
    assert result.is_live, f"not idle {deadline}, but after {result.idle_s}; {label}"
