"""Every fault of the suite. A file of faults is registered by being imported here."""

from tests.fault import clocks, crashes, disk, fences, flood, kills, losses, proxy, stops
from tests.fault.registry import FAULTS

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
