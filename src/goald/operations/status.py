"""The state of a goald: readiness, lag, streams and processes."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from goald.ports.process_registry import Heartbeat, Readings, ReadingsSource
from goald.ports.stream_admin import StreamAdmin, StreamDepth, StreamLevelReader, StreamLevels


@dataclass(frozen=True, slots=True)
class Status:
    """The state of a goald at one moment."""

    readings: Readings
    streams: Sequence[StreamDepth]
    levels: StreamLevels
    not_ready_reasons: Sequence[str]
    """The cause before its symptoms; empty if goald is ready."""

    @property
    def ready(self) -> bool:
        """Whether every process is running and ready."""
        return not self.not_ready_reasons

    @property
    def lag(self) -> int:
        """Entries of the event streams that are not acknowledged, read or not. 0 means that every
        event has been processed or dead-lettered."""
        return sum(stream.lag for stream in self.streams)

    @property
    def executions(self) -> Mapping[str, int]:
        """The open executions, by state; empty if there are none."""
        counts: Counter[str] = Counter()
        for heartbeat in self.readings.heartbeats:
            for family in heartbeat.metrics:
                if family["name"] == "goald_executions":
                    counts.update({of["state"]: int(value) for _, of, value in family["samples"]})
        return {state: count for state, count in counts.items() if count}

    @property
    def supervisor(self) -> Heartbeat | None:
        """The heartbeat that names the URLs of the API and of the metrics."""
        return next((each for each in self.readings.heartbeats if each.role == "supervisor"), None)


async def read_status(
    registry: ReadingsSource,
    admin: StreamAdmin,
    levels: StreamLevelReader,
    reasons: Callable[[Readings], Sequence[str]],
) -> Status:
    """The state of a goald now. `reasons` says why it is not ready. Raises ServiceUnavailable."""
    readings = await registry.readings()
    return Status(readings, await admin.depths(), await levels.read(), reasons(readings))
