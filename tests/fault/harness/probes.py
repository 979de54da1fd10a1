"""Probes: one enrollment for each stream and shard, whose exits show that goald has recovered."""

import json
import zlib

import redis
from tests.fault.harness.history import TENANTS
from tests.fault.harness.oracle import Key
from tests.fault.harness.servers import Client, entries
from tests.fault.harness.workload import Probe

STREAMS, SHARDS, SLOTS = 4, 2, 256


def probes(prefix: str) -> list[Probe]:
    """One probe for each pair of a stream and a shard."""
    missing = {(stream, shard) for stream in range(STREAMS) for shard in range(SHARDS)}
    result = []
    for number in range(10_000):
        tenant, contact = TENANTS[number % len(TENANTS)], f"{prefix}-p{number}"
        slot = zlib.crc32(f"{tenant}\x1f{contact}".encode()) % SLOTS
        place = (slot % STREAMS, slot * SHARDS // SLOTS)
        if place in missing:
            missing.remove(place)
            result.append(Probe(tenant, contact))
        if not missing:
            return result
    raise AssertionError("no contact for every stream and shard")


class ExitWatch:
    """Collects the enrollments with an exit since its construction."""

    def __init__(self, redis_url: str) -> None:
        self._url = redis_url
        self._position = b"0-0"
        self._seen: set[Key] = set()
        with redis.Redis.from_url(redis_url) as client:
            self._position = _last(client)

    def look(self) -> set[Key]:
        """The enrollments up to now. If the last entry of the stream is older than the position,
        the stream was replaced, and is read from its beginning."""
        with redis.Redis.from_url(self._url, socket_timeout=10) as client:
            if _order(_last(client)) < _order(self._position):
                self._position = b"0-0"
            for entry_id, fields in entries(client, "goald:exits", self._position):
                self._position = entry_id
                self._seen.add(_key(fields[b"event"]))
        return self._seen


def _key(payload: bytes) -> Key:
    event = json.loads(payload)
    return event["tenantid"], event["data"]["enrollment_id"]


def _last(client: Client) -> bytes:
    newest = client.xrevrange("goald:exits", count=1)
    return bytes(newest[0][0]) if newest else b"0-0"


def _order(entry_id: bytes) -> tuple[int, int]:
    milliseconds, _, sequence = entry_id.partition(b"-")
    return int(milliseconds), int(sequence)
