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
"""The pause between two checks whether a change of the number of streams is complete."""

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
"""Appends the events of a batch to one stream, if the stream count is still ARGV[1] and no change
is pending. Otherwise appends nothing and returns the stored count and the pending one. A missing
count, as after a loss of Redis data, is not a difference.

Stops at the first error and returns it without the prefix of Redis 6.2, so that redis-py
recognises its type. One reply for all events of a stream doubles the throughput."""


class Publisher:
    """Sends events to goald's streams. A contact's events keep their order.

    `publish` puts an event into a bounded buffer and returns; it waits only if the buffer is full.
    `flush` returns when Redis has stored every event published before it. Delivery is at least
    once: a batch whose outcome is unknown is sent again, with the same event ids, before any
    later event. Repeated events change nothing in goald (D1).

    While `goald streams set` changes the number of streams, events wait in the buffer; then they
    are sent to the new streams in order.

    One event loop. Several tasks may publish; the order among tasks is up to them.

        async with Publisher("redis://localhost") as publisher:
            await publisher.publish(event("contact.tag.added", "acme", "c-1", {"tag_id": "t-1"}))
    """

    def __init__(
        self,
        redis: str | Connection,
        *,
        format: Format = "json",  # noqa: A002 - the usual name
        buffer_events: int = 10_000,
        patience_s: float = 30.0,
    ) -> None:
        """Does not connect.

        `redis`: a URL, or a `redis.asyncio.Redis` whose settings are copied. `format`: "msgpack"
        is smaller than "json" and needs the package msgpack. `buffer_events`: the capacity of the
        buffer. `patience_s`: how long Redis may fail before a waiting call raises
        ServiceUnavailable. The events stay in the buffer, and the publisher keeps trying.
        """
        self._redis = own_connection(redis)
        self._format: Format = format
        self._capacity = buffer_events
        self._buffer: deque[tuple[int, bytes]] = deque()
        self._batch: list[tuple[int, bytes]] = []
        self._batch_events = 0
        self._accepted = 0
        self._sent = 0
        self._streams: int | None = None
        self._attempts = Attempts(self._redis, patience_s)
        self._filled = asyncio.Event()
        self._waiting: list[tuple[int, asyncio.Future[None]]] = []
        """The calls that wait, each until `_sent` reaches its number."""
        self._sender: asyncio.Task[None] | None = None
        self._closed = False

    async def publish(self, event: Mapping[str, Any]) -> None:
        """Put one event into the buffer: one of `goald.client.event`, or any CloudEvent with
        `tenantid` and `data.contact_id`.

        Waits while the buffer is full. Raises ValueError if the event cannot be sent, and
        ServiceUnavailable if the buffer is full and Redis has failed for longer than the
        patience; the event is not in the buffer then.
        """
        tenant, contact = contact_key(event)
        await self.publish_encoded(tenant, contact, encode(event, self._format))

    async def publish_many(self, events: Iterable[Mapping[str, Any]]) -> int:
        """Put events into the buffer in order and return their number. Raises like `publish` at
        the first event that fails; the events before it are in the buffer."""
        count = 0
        for event in events:
            await self.publish(event)
            count += 1
        return count

    async def publish_encoded(self, tenant: str, contact: str, payload: bytes) -> None:
        """Like `publish`, for an event that is already encoded as JSON or MessagePack. Its bytes
        are not checked; `tenant` and `contact` must be those of the event."""
        slot = slot_of(tenant, contact)
        while len(self._buffer) >= self._capacity and not self._closed:
            self._attempts.check()
            await self._progress(self._sent + 1)
        if self._closed:
            raise ServiceUnavailable("the publisher is closed")
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_on(), name="goald publisher")
        self._buffer.append((slot, payload))
        self._accepted += 1
        self._filled.set()

    async def flush(self, *, patience_s: float | None = None) -> None:
        """Wait until Redis has stored everything published before this call.

        Raises ServiceUnavailable if Redis fails for longer than the patience. The events stay in
        the buffer, and another `flush` continues to wait.
        """
        target = self._accepted
        while self._sent < target:
            self._attempts.check(patience_s)
            await self._progress(target)

    async def aclose(self, *, patience_s: float | None = None) -> None:
        """Flush and disconnect. Raises ServiceUnavailable if Redis did not store every event in
        time; the remaining events are lost."""
        self._closed = True
        try:
            await self.flush(patience_s=patience_s)
        except ServiceUnavailable as error:
            unsent = self._accepted - self._sent
            raise ServiceUnavailable(f"{unsent} events were not sent: {error}") from error
        finally:
            if self._sender is not None:
                self._sender.cancel()
                await asyncio.wait([self._sender])
            self._wake(all_calls=True)  # Callers that wait for capacity raise now.
            await self._redis.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close. After an error in the `with` block, the buffer is sent in one attempt only."""
        await self.aclose(patience_s=None if error is None else 0.0)

    async def _send_on(self) -> None:
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._take_batch():
                sent = self._sent
                pause = await self._send_batch()
                self._wake(all_calls=self._sent == sent)  # After a failure, to check the patience.
                await asyncio.sleep(pause)

    def _progress(self, target: int) -> asyncio.Future[None]:
        """Completes when `_sent` has reached the target, or an attempt to send has failed."""
        progressed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((target, progressed))
        return progressed

    def _wake(self, *, all_calls: bool) -> None:
        waiting, self._waiting = self._waiting, []
        for target, progressed in waiting:
            if progressed.done():  # its caller was cancelled
                continue
            if all_calls or target <= self._sent:
                progressed.set_result(None)
            else:
                self._waiting.append((target, progressed))

    def _take_batch(self) -> bool:
        """Prepare the batch to send: the failed one, else the next. False if there is none."""
        size = 0
        if not self._batch:
            while self._buffer and len(self._batch) < _BATCH_EVENTS and size < _BATCH_BYTES:
                self._batch.append(self._buffer.popleft())
                size += len(self._batch[-1][1])
            self._batch_events = len(self._batch)
        return bool(self._batch)

    async def _send_batch(self) -> float:
        """Send the rest of the batch. Returns the seconds to pause before the next attempt."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                while self._batch:
                    await self._append()
        except _CountChanging as error:
            self._attempts.failed(error)
            return _CHANGE_PAUSE_S
        except Exception as error:  # Any error: the events stay in the batch.
            count = len(self._batch)
            _log.warning("Sending %d events failed and is retried: %s", count, error)
            return self._attempts.failed(error)
        self._sent += self._batch_events
        self._attempts.succeeded()
        return 0.0

    async def _append(self) -> None:
        """Send the rest of the batch once, and remove the stored events from it. A contact's
        events are in one stream, so they are stored together or not at all."""
        if self._streams is None:
            self._streams = int(await self._redis.get(STREAM_COUNT) or DEFAULT_STREAMS)
        by_stream: dict[int, list[bytes]] = {}
        for slot, payload in self._batch:
            by_stream.setdefault(slot % self._streams, []).append(payload)
        async with self._redis.pipeline(transaction=False) as pipe:
            for partition, payloads in by_stream.items():
                keys = event_stream(partition), STREAM_COUNT, NEXT_STREAMS
                pipe.eval(_APPEND, len(keys), *keys, self._streams, FIELD, *payloads)
            replies = await pipe.execute(raise_on_error=False)
        stored = {
            partition
            for partition, reply in zip(by_stream, replies, strict=True)
            if isinstance(reply, int)
        }
        if len(stored) == len(by_stream):
            self._batch = []
            return
        self._batch = [each for each in self._batch if each[0] % self._streams not in stored]
        for reply in replies:
            if isinstance(reply, Exception):
                raise reply
        current, pending = next(reply for reply in replies if not isinstance(reply, int))
        if pending is not None:
            raise _CountChanging(
                f"the number of event streams is being changed to {pending.decode()}"
            )
        self._streams = int(current)


class _CountChanging(Exception):
    """Events wait until the number of streams is changed."""
