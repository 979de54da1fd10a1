"""Every fault of the suite. A file of faults is registered by being imported here."""

from tests.fault import crashes, kills, losses
from tests.fault.registry import FAULTS

__all__ = ["FAULTS", "crashes", "kills", "losses"]
