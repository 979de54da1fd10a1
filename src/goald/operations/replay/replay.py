"""Sends the events of a file in order, optionally at a limited rate."""

import asyncio
import time
from collections.abc import AsyncIterable, Callable, Sequence
from dataclasses import dataclass

from goald.client import Publisher
from goald.operations.replay.event_file import BadLine, EventLine, Line
from goald.ports.stream_admin import StreamAdmin

CHUNK = 500
FLUSH_EVERY = 20_000


@dataclass
class ReplayProgress:
    """How far a replay has come."""

    sent: int = 0
    """Events given to the publisher."""
    bad: int = 0
    """Lines that could not be sent."""
    line: int = 0
    """The last line that was handled."""
    stored: tuple[int, int] = (0, 0)
    """`sent` and `line` at the last moment when Redis had stored every event before."""

    @classmethod
    def before(cls, line: int) -> "ReplayProgress":
        """The progress before this line."""
        return cls(line=line - 1, stored=(0, line - 1))


class Replay:
    """One replay. After an error, `progress` says what Redis has stored and where to continue;
    events after that may have been stored too, and sending them again changes nothing (D1)."""

    def __init__(
        self,
        publisher: Publisher,
        admin: StreamAdmin,
        progress: ReplayProgress,
        *,
        rate: float | None = None,
        on_bad_line: Callable[[BadLine], None] = lambda _: None,
        on_progress: Callable[[int, int], None] = lambda _position, _sent: None,
    ) -> None:
        """`rate`: events per second; unlimited if None. `on_progress` receives the position in
        the file in bytes, and the number of events sent."""
        self.progress = progress
        self._publisher = publisher
        self._admin = admin
        self._rate = rate
        self._chunk = CHUNK if rate is None else max(1, min(CHUNK, int(rate / 20)))
        self._on_bad_line = on_bad_line
        self._on_progress = on_progress

    async def run(self, batches: AsyncIterable[Sequence[Line]]) -> None:
        """Send every line and return when Redis has stored all events. Raises ServiceUnavailable:
        immediately if Redis is unreachable at the start, after the publisher's patience later."""
        try:
            await self._admin.count()
            async with self._publisher:
                await self._send_all(batches)
        except asyncio.CancelledError:  # The publisher has sent its buffer while it closed.
            raise
        except BaseException:
            self.progress.sent, self.progress.line = self.progress.stored
            raise

    async def _send_all(self, batches: AsyncIterable[Sequence[Line]]) -> None:
        began = time.monotonic()
        unflushed = 0
        async for batch in batches:
            for start in range(0, len(batch), self._chunk):
                chunk = batch[start : start + self._chunk]
                for line in chunk:
                    await self._send(line)
                unflushed += len(chunk)
                self._on_progress(chunk[-1].end, self.progress.sent)
                if self._rate is not None:
                    await self._flush()
                    due = began + self.progress.sent / self._rate
                    await asyncio.sleep(due - time.monotonic())
                elif unflushed >= FLUSH_EVERY:
                    await self._flush()
                    unflushed = 0
        await self._flush()

    async def _send(self, line: Line) -> None:
        if isinstance(line, EventLine):
            await self._publisher.publish_encoded(line.tenant, line.contact, line.payload)
            self.progress.sent += 1
        else:
            self.progress.bad += 1
            self._on_bad_line(line)
        self.progress.line = line.number

    async def _flush(self) -> None:
        await self._publisher.flush()
        self.progress.stored = self.progress.sent, self.progress.line
