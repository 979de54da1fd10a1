"""The checks of `goald doctor` on the memory of Redis."""

from collections.abc import Iterator
from dataclasses import dataclass

from goald.ports.stream_admin import StreamLevel, StreamLevels
from goald.redis_keys import DEAD
from goald.runtime.doctor.check import DoctorCheck, ok, warn

NEARLY_FULL = 0.75
"""The share of its bound above which a stream is reported. Acknowledged entries take half of the
bound at most, so the rest has not been acknowledged."""


@dataclass(frozen=True, slots=True)
class MemoryBounds:
    """The bounds in the settings, in bytes."""

    stream_bytes: int
    """GOALD_STREAM_BYTES, of each event stream, the exits and the notices."""
    dead_bytes: int
    """GOALD_DEAD_BYTES."""

    def of(self, name: str) -> int:
        return self.dead_bytes if name == DEAD else self.stream_bytes


def memory(levels: StreamLevels, bounds: MemoryBounds) -> Iterator[DoctorCheck]:
    """Whether the server's limit has room for full streams, and whether a stream is nearly full."""
    needed = sum(bounds.of(level.name) for level in levels.all())
    if levels.max_bytes is None:
        yield ok("memory limit of Redis", f"none; the streams may take {_gib(needed)}")
    elif levels.max_bytes < needed:
        yield warn(
            "memory limit of Redis",
            f"{_gib(levels.max_bytes)}, but the streams may take {_gib(needed)}",
            "raise maxmemory, or lower GOALD_STREAM_BYTES",
        )
    else:
        yield ok(
            "memory limit of Redis",
            f"{_gib(levels.max_bytes)}; the streams may take {_gib(needed)}",
        )
    full = [level for level in levels.all() if _is_nearly_full(level, bounds)]
    for level in full:
        yield warn(
            level.name,
            f"{_gib(level.bytes)} of {_gib(bounds.of(level.name))}",
            "see whether a consumer group is behind: XINFO GROUPS " + level.name,
        )
    if not full:
        yield ok("memory of the streams", _gib(sum(level.bytes for level in levels.all())))


def _is_nearly_full(level: StreamLevel, bounds: MemoryBounds) -> bool:
    # Dead letters may fill their bound: the oldest are dropped.
    return level.name != DEAD and level.bytes > bounds.of(level.name) * NEARLY_FULL


def _gib(size: int) -> str:
    return f"{size / (1 << 30):.2f} GiB"
