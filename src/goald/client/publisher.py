"""Sends events to goald's streams."""

import asyncio
import logging
from collections import deque
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from goald.client.connection import TIMEOUT_S, Attempts, Connection, own_connection
from goald.client.envelope import Format, contact_key, encode
from goald.domain.errors import ServiceUnavailable
from goald.domain.slots import slot_of
from goald.domain.streams import DEFAULT_STREAMS
from goald.redis_keys import FIELD, NEXT_STREAMS, STREAM_COUNT, event_stream

_log = logging.getLogger(__name__)

_BATCH_EVENTS = 2_000
_BATCH_BYTES = 1 << 20

_CHANGE_PAUSE_S = 0.1
"""Between two looks whether a change of the number of streams is done."""

_APPEND = """
local count = redis.call('MGET', KEYS[2], KEYS[3])
if count[2] or (count[1] and count[1] ~= ARGV[1]) then return count end
for i = 3, #ARGV do
  local reply = redis.pcall('XADD', KEYS[1], '*', ARGV[2], ARGV[i])
  if type(reply) == 'table' and reply.err then
    return {err = string.gsub(reply.err, '^@user_script: %d+: %-', '')}
  end
end
return #ARGV - 2
"""
"""Appends a stream's part of a batch, in one step with the look whether it is routed by the
number of streams that there are, and that nobody is changing it: else appends nothing and
gives that number, and the one to come. A number that is gone, as after the loss of Redis'
data, is no other number.

Ends at the first error, and gives it back without what Redis 6.2 puts before its code, so
that redis-py knows its type. One reply for a part: twice as many events a second as with one
XADD each."""


class Publisher:
    """Sends events, each to the stream that keeps its contact's events in order (3.2).

    `publish` returns when the event is in a bounded buffer, waiting for room where there is
    none; `flush` returns when Redis has taken all that was published before. A batch that
    failed is sent again, whole, before anything later: the events of a contact keep their
    order, and may come twice, with the same ids, which changes nothing for goald (D1).

    While `goald streams set` changes the number of streams, sending waits until what was sent
    before has taken effect; then it goes on by the new number, in order.

    For one event loop. Any number of tasks may publish; the order between tasks is theirs.

        async with Publisher("redis://localhost") as publisher:
            await publisher.publish(event("contact.tag.added", "acme", "c-1", {"tag_id": "t-1"}))
    """

    def __init__(
        self,
        redis: str | Connection,
        *,
        format: Format = "json",  # noqa: A002 - the word for it
        buffer_events: int = 10_000,
        patience_s: float = 30.0,
    ) -> None:
        """`redis`: a URL, or a `redis.asyncio.Redis` whose settings are taken over.
        `format`: "msgpack" is smaller and needs the package of that name. `buffer_events`:
        how many events may wait. `patience_s`: how long Redis may fail before a call that
        waits raises; the events are kept, and sending is tried on. Does not connect."""
        self._redis = own_connection(redis)
        self._format: Format = format
        self._room = buffer_events
        self._buffer: deque[tuple[int, bytes]] = deque()
        self._batch: list[tuple[int, bytes]] = []
        self._batch_events = 0
        self._accepted = 0
        self._sent = 0
        self._streams: int | None = None
        self._attempts = Attempts(patience_s)
        self._filled = asyncio.Event()
        self._moved = asyncio.Condition()
        self._sender: asyncio.Task[None] | None = None
        self._closed = False

    async def publish(self, event: Mapping[str, Any]) -> None:
        """Take one event, as `goald.client.event` makes it or any CloudEvent with
        `tenantid` and `data.contact_id`. Raises ValueError, taking nothing, for one that
        goald would refuse at sight; ServiceUnavailable, taking nothing, where the buffer
        is full and Redis has failed for too long."""
        tenant, contact = contact_key(event)
        await self.publish_encoded(tenant, contact, encode(event, self._format))

    async def publish_many(self, events: Iterable[Mapping[str, Any]]) -> int:
        """Take many, in their order; how many. Raises as `publish` does, at the first that
        cannot be taken: those before it are on their way."""
        count = 0
        for event in events:
            await self.publish(event)
            count += 1
        return count

    async def publish_encoded(self, tenant: str, contact: str, payload: bytes) -> None:
        """Take an event that is encoded already, in either format. Its bytes are not
        looked at; else as `publish`."""
        slot = slot_of(tenant, contact)
        while len(self._buffer) >= self._room:
            async with self._moved:
                if self._closed:
                    break
                self._attempts.check()
                await self._moved.wait()
        if self._closed:
            raise ServiceUnavailable("the publisher is closed")
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_on(), name="goald publisher")
        self._buffer.append((slot, payload))
        self._accepted += 1
        self._filled.set()

    async def flush(self, *, patience_s: float | None = None) -> None:
        """Wait until Redis has taken everything that was published before. Raises
        ServiceUnavailable where it fails for longer than the patience; nothing is lost by
        that, and flushing again waits on."""
        target = self._accepted
        async with self._moved:
            while self._sent < target:
                self._attempts.check(patience_s)
                await self._moved.wait()

    async def aclose(self, *, patience_s: float | None = None) -> None:
        """Flush, stop and disconnect. Raises ServiceUnavailable where events are left; they
        are lost then."""
        self._closed = True
        try:
            await self.flush(patience_s=patience_s)
        except ServiceUnavailable as error:
            left = self._accepted - self._sent
            raise ServiceUnavailable(f"{left} events were not sent: {error}") from error
        finally:
            if self._sender is not None:
                self._sender.cancel()
                await asyncio.wait([self._sender])
            async with self._moved:  # nothing moves any more: who waits for room is told
                self._moved.notify_all()
            await self._redis.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Closes. After an error of the body, what Redis takes at once is still sent."""
        await self.aclose(patience_s=None if error is None else 0.0)

    async def _send_on(self) -> None:
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._take_batch():
                pause = await self._send_batch()
                async with self._moved:
                    self._moved.notify_all()
                await asyncio.sleep(pause)

    def _take_batch(self) -> bool:
        """Whether there is a batch to send: the one that failed, else the next."""
        size = 0
        if not self._batch:
            while self._buffer and len(self._batch) < _BATCH_EVENTS and size < _BATCH_BYTES:
                self._batch.append(self._buffer.popleft())
                size += len(self._batch[-1][1])
            self._batch_events = len(self._batch)
        return bool(self._batch)

    async def _send_batch(self) -> float:
        """Send what is left of the batch; how many seconds to pause before the next try."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                while self._batch:
                    await self._append()
        except _CountChanging as error:
            self._attempts.failed(error)
            return _CHANGE_PAUSE_S
        except Exception as error:  # Whatever it was, the events stay, and who waits is told.
            count = len(self._batch)
            _log.warning("sending %d events failed, and is tried again: %s", count, error)
            return self._attempts.failed(error)
        self._sent += self._batch_events
        self._attempts.succeeded()
        return 0.0

    async def _append(self) -> None:
        """Send what is left of the batch once. What Redis has taken leaves it: a contact's
        events are all in one part, and so are taken together or not at all."""
        if self._streams is None:
            self._streams = int(await self._redis.get(STREAM_COUNT) or DEFAULT_STREAMS)
        parts: dict[int, list[bytes]] = {}
        for slot, payload in self._batch:
            parts.setdefault(slot % self._streams, []).append(payload)
        async with self._redis.pipeline(transaction=False) as pipe:
            for partition, payloads in parts.items():
                keys = event_stream(partition), STREAM_COUNT, NEXT_STREAMS
                pipe.eval(_APPEND, len(keys), *keys, self._streams, FIELD, *payloads)
            replies = await pipe.execute(raise_on_error=False)
        taken = {part for part, reply in zip(parts, replies, strict=True) if isinstance(reply, int)}
        if len(taken) == len(parts):
            self._batch = []
            return
        self._batch = [each for each in self._batch if each[0] % self._streams not in taken]
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        held, coming = next(reply for reply in replies if not isinstance(reply, int))
        if coming is not None:
            raise _CountChanging(
                f"the number of event streams is being changed to {coming.decode()}"
            )
        self._streams = int(held)


class _CountChanging(Exception):
    """Events wait until the number of streams is changed."""
