"""The process registry in the Redis hash `goald:processes`.

Field `{role}:{index}`, one JSON object each:

    {"role": "shard", "index": 0, "pid": 71, "host": "a", "started_at": "…Z", "at": "…Z",
     "ready": true, "metrics": [the output of `goald.metrics.instance.snapshot`]}

A process that is not ready adds `not_ready_reason`. The supervisor adds `consumers`,
`shards`, `api_processes` and `workers` (the number of each that it has started), `api_url` and
`metrics_url`.
"""

import json
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from goald.adapters.redis.admin import lag, stream_count
from goald.adapters.redis.connect import connect, service_errors
from goald.adapters.redis.transfer_report import NAMES, decoded
from goald.ports.process_registry import Heartbeat, Readings
from goald.redis_keys import DEAD, DEAD_DROPPED, ERASURES, PROCESSES, STREAM_COUNT, TRANSFERS

ERASURE_FIELDS = ("pending", "oldest_s", "in_tables", "in_tables_oldest_s")


_FREE_AFTER = timedelta(minutes=1)
_TAKE_INDEX = """
local index = tonumber(ARGV[2])
while true do
  local field = ARGV[1] .. ':' .. index
  local stored = redis.call('HGET', KEYS[1], field)
  local at = stored and string.match(stored, '"at":"([^"]+)"')
  if not at or at < ARGV[3] then
    redis.call('HSET', KEYS[1], field, ARGV[4])
    return index
  end
  index = index + 1
end
"""
"""Times are compared as texts, which have one format."""


class RedisProcessRegistry:
    """A `ProcessRegistry`, and the readings of a whole instance. Connects on first use; bound
    to the event loop that uses it first."""

    def __init__(self, url: str) -> None:
        self._client = connect(url)

    async def write(self, heartbeat: Heartbeat) -> None:
        async with service_errors():
            await self._client.hset(PROCESSES, heartbeat.field, encode(heartbeat))

    async def remove(self, role: str, index: int) -> None:
        async with service_errors():
            await self._client.hdel(PROCESSES, f"{role}:{index}")

    async def take_index(self, role: str, first: int) -> int:
        """Take the lowest index, from `first`, whose process sends no heartbeat: none was sent for
        a minute. Two processes never take the same one at a time. The index is the caller's while
        it sends heartbeats, from within a minute on."""
        now = datetime.now(UTC)
        placeholder = json.dumps({"at": _text(now)}, separators=(",", ":"))
        async with service_errors():
            return int(
                await self._client.eval(
                    _TAKE_INDEX, 1, PROCESSES, role, first, _text(now - _FREE_AFTER), placeholder
                )
            )

    async def ensure_stream_count(self, desired: int | None) -> int:
        """The stored number of event streams. If none is stored, stores `desired` (or the
        default if None) first. Raises StreamCountMismatch if another number than `desired` is
        stored."""
        current = await stream_count(self._client, desired)
        return await stream_count(self._client, current)

    async def stored_stream_count(self) -> int | None:
        """The stored number of event streams; None if none is stored."""
        async with service_errors():
            stored = await self._client.get(STREAM_COUNT)
        return None if stored is None else int(stored)

    async def readings(self) -> Readings:
        """Every heartbeat, the lag of each stream, and the counts of dead letters. The commands
        are not one transaction."""
        async with service_errors():
            heartbeats = await self._client.hgetall(PROCESSES)
            dead = await self._client.xlen(DEAD)
            dropped = await self._client.get(DEAD_DROPPED)
            erasures = await self._client.hmget(ERASURES, *ERASURE_FIELDS)
            transfers = await self._client.hmget(TRANSFERS, *NAMES)
        pending, oldest_s, in_tables, in_tables_oldest_s = erasures
        return Readings(
            at=datetime.now(UTC),
            heartbeats=decode_all(heartbeats.values()),
            lag=await lag(self._client),
            dead=dead,
            dead_dropped=int(dropped or 0),
            erasures_pending=int(pending or 0),
            oldest_erasure_s=float(oldest_s or 0),
            erasures_in_tables=int(in_tables or 0),
            oldest_erasure_in_tables_s=float(in_tables_oldest_s or 0),
            transfers=decoded(transfers),
        )

    async def close(self) -> None:
        await self._client.aclose()


def encode(heartbeat: Heartbeat) -> str:
    """The value of the hash field."""
    value: dict[str, Any] = {
        "role": heartbeat.role,
        "index": heartbeat.index,
        "pid": heartbeat.pid,
        "host": heartbeat.host,
        "started_at": _text(heartbeat.started_at),
        "at": _text(heartbeat.at),
        "ready": heartbeat.ready,
        "metrics": list(heartbeat.metrics),
    }
    if heartbeat.not_ready_reason is not None:
        value["not_ready_reason"] = heartbeat.not_ready_reason
    if heartbeat.consumers is not None and heartbeat.shards is not None:
        value |= {"consumers": heartbeat.consumers, "shards": heartbeat.shards}
        value |= {"api_processes": heartbeat.api_processes, "api_url": heartbeat.api_url}
        value |= {"metrics_url": heartbeat.metrics_url, "workers": heartbeat.workers}
    return json.dumps(value, separators=(",", ":"))


def decode(text: str | bytes) -> Heartbeat:
    """The inverse of `encode`. Raises ValueError if the value is not a heartbeat."""
    try:
        value = json.loads(text)
        return Heartbeat(
            role=str(value["role"]),
            index=int(value["index"]),
            pid=int(value["pid"]),
            host=str(value["host"]),
            started_at=datetime.fromisoformat(value["started_at"]),
            at=datetime.fromisoformat(value["at"]),
            ready=bool(value["ready"]),
            metrics=tuple(value.get("metrics", ())),
            not_ready_reason=value.get("not_ready_reason"),
            consumers=value.get("consumers"),
            shards=value.get("shards"),
            api_processes=value.get("api_processes"),
            api_url=value.get("api_url"),
            metrics_url=value.get("metrics_url"),
            workers=value.get("workers"),
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a heartbeat: {error!r}") from None


def decode_all(values: Iterable[str | bytes]) -> list[Heartbeat]:
    """The heartbeats among the values of the hash, sorted by role and index. Ignores values
    in the format of another release; their processes count as missing."""
    heartbeats = []
    for value in values:
        try:
            heartbeats.append(decode(value))
        except ValueError:
            continue
    return sorted(heartbeats, key=lambda heartbeat: (heartbeat.role, heartbeat.index))


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
