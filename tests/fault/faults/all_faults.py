"""Every fault of the suite. Importing a file of faults here registers its faults."""

from tests.fault.faults import (
    clocks,
    crashes,
    disk,
    execution_crashes,
    executions,
    fences,
    flood,
    kills,
    losses,
    proxy,
    stops,
)
from tests.fault.harness.registry import FAULTS

__all__ = [
    "FAULTS",
    "clocks",
    "crashes",
    "disk",
    "execution_crashes",
    "executions",
    "fences",
    "flood",
    "kills",
    "losses",
    "proxy",
    "stops",
]
