"""Every fault of the suite. A file of faults is registered by being imported here."""

from tests.fault.faults import (
    clocks,
    crashes,
    disk,
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
    "fences",
    "flood",
    "kills",
    "losses",
    "proxy",
    "stops",
]
