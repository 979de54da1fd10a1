"""Probes: one enrollment for each stream and shard, whose exits tell that goald is back."""

import json
import zlib

import redis
from tests.fault.harness.history import TENANTS
from tests.fault.harness.oracle import Key
from tests.fault.harness.servers import Client, entries
from tests.fault.harness.workload import Probe

STREAMS, SHARDS, SLOTS = 4, 2, 256


def probes(prefix: str) -> list[Probe]:
    """One for each pair of a stream and a half of the slots."""
    wanted = {(stream, shard) for stream in range(STREAMS) for shard in range(SHARDS)}
    found = []
    for number in range(10_000):
        tenant, contact = TENANTS[number % len(TENANTS)], f"{prefix}-p{number}"
        slot = zlib.crc32(f"{tenant}\x1f{contact}".encode()) % SLOTS
        place = (slot % STREAMS, slot * SHARDS // SLOTS)
        if place in wanted:
            wanted.remove(place)
            found.append(Probe(tenant, contact))
        if not wanted:
            return found
    raise AssertionError("no contact for every stream and shard")


class ExitWatch:
    """Of whom there have been exits since it was made."""

    def __init__(self, redis_url: str) -> None:
        self._url = redis_url
        self._position = b"0-0"
        self._seen: set[Key] = set()
        with redis.Redis.from_url(redis_url) as client:
            self._position = _last(client)

    def look(self) -> set[Key]:
        """All seen up to now. Where the stream's last entry lies before what was read, it is
        another's, and read from its beginning."""
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
