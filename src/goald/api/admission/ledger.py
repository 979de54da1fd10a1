"""The bytes that this process has sent to the event streams, by time."""

from collections import deque
from collections.abc import Iterator
from typing import Final

from goald.ports.stream_admin import StreamLevels

_SECOND_US: Final = 1_000_000
_MAX_PERIODS: Final = 64


class SentBytes:
    """Bytes by the period in which they were sent: a second each, and longer once there are more
    than _MAX_PERIODS, so that memory is bounded."""

    def __init__(self) -> None:
        self._periods: deque[tuple[int, int]] = deque()
        """(end in microseconds, bytes), oldest first."""
        self.total = 0

    def add(self, now_us: int, size: int) -> None:
        end_us = (now_us // _SECOND_US + 1) * _SECOND_US
        self.total += size
        if self._periods and self._periods[-1][0] >= end_us:
            last_end_us, last_size = self._periods.pop()
            self._periods.append((last_end_us, last_size + size))
            return
        self._periods.append((end_us, size))
        if len(self._periods) > _MAX_PERIODS:
            self._periods = deque(_merged(list(self._periods)))

    def forget(self, before_us: int) -> None:
        """Forget the periods that ended at or before this time."""
        while self._periods and self._periods[0][0] <= before_us:
            self.total -= self._periods.popleft()[1]


class SentLedger:
    """The events that the streams may still hold, of all tenants, and those of each tenant that may
    not be acknowledged yet."""

    def __init__(self) -> None:
        self._sent: dict[int, SentBytes] = {}
        self._unprocessed: dict[tuple[str, int], SentBytes] = {}

    def add(self, tenant: str, partition: int, now_us: int, size: int) -> None:
        self._sent.setdefault(partition, SentBytes()).add(now_us, size)
        self._unprocessed.setdefault((tenant, partition), SentBytes()).add(now_us, size)

    def sent(self, partition: int) -> int:
        """Bytes of all tenants that the stream may still hold."""
        found = self._sent.get(partition)
        return found.total if found is not None else 0

    def unprocessed(self, tenant: str, partition: int) -> int:
        """Bytes of this tenant that may not be acknowledged yet."""
        found = self._unprocessed.get((tenant, partition))
        return found.total if found is not None else 0

    def forget(self, levels: StreamLevels) -> None:
        """Forget the events that the streams no longer hold or that goald has acknowledged. Events
        on the way to Redis at the time of the reading may be forgotten too; they are few."""
        now_us = levels.at_us
        for partition, level in enumerate(levels.events):
            if partition in self._sent:
                self._sent[partition].forget(_until(level.oldest_us, now_us))
        for (tenant, partition), sent in list(self._unprocessed.items()):
            if partition < len(levels.events):
                level = levels.events[partition]
                sent.forget(_until(max(level.acknowledged_us, level.oldest_us), now_us))
            if not sent.total or partition >= len(levels.events):
                del self._unprocessed[tenant, partition]


def _until(time_us: int, now_us: int) -> int:
    """The end of the periods to forget. If nothing is left until now, that includes the current
    period."""
    return time_us if time_us < now_us else now_us + _SECOND_US


def _merged(periods: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Pairs of neighbours as one period each, which ends when the later one does."""
    for first in range(0, len(periods) - 1, 2):
        end_us, size = periods[first + 1]
        yield end_us, periods[first][1] + size
    if len(periods) % 2:
        yield periods[-1]
