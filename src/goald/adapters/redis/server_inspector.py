"""Whether a Redis or Valkey server is configured to keep the data that it has confirmed (D10)."""

from redis.exceptions import ResponseError

from goald.adapters.redis.connect import Client, connect, service_errors
from goald.adapters.redis.events.levels import RedisStreamLevels
from goald.ports.server_inspector import ServerCheck
from goald.ports.stream_admin import StreamLevels

_OLDEST = (6, 2)


class RedisServerInspector:
    """A `ServerInspector`. Connects on first use."""

    def __init__(self, url: str) -> None:
        self._client = connect(url)
        self._levels = RedisStreamLevels(url)

    async def checks(self) -> list[ServerCheck]:
        return await check_server(self._client)

    async def time(self) -> float:
        async with service_errors():
            seconds, micros = await self._client.time()
        return float(seconds + micros / 1e6)

    async def levels(self) -> StreamLevels:
        return await self._levels.read()

    async def close(self) -> None:
        await self._levels.close()
        await self._client.aclose()


async def check_server(client: Client) -> list[ServerCheck]:
    """Whether this server keeps the data that it has confirmed. A property that it does not report
    is "unknown"."""
    async with service_errors():
        info = await client.info()
        fsync = await _setting(client, "appendfsync")
    name = "Valkey" if "valkey_version" in info else "Redis"
    version = str(info.get("valkey_version") or info.get("redis_version") or "unknown")
    role = str(info.get("role", "unknown"))
    append_only = {1: "yes", 0: "no"}.get(info.get("aof_enabled"), "unknown")
    policy = str(info.get("maxmemory_policy", "unknown"))
    return [
        _check(
            "version", f"{name} {version}", _is_recent(version), "use Redis 6.2 or newer, or Valkey"
        ),
        _check("role", role, role == "master", "give goald the primary's URL"),
        _check("append-only file", append_only, append_only == "yes", "set appendonly yes"),
        _check(
            "appendfsync",
            fsync,
            fsync == "always",
            "set appendfsync always: else a crash may lose what was sent in the last second",
        ),
        _check(
            "maxmemory-policy",
            policy,
            policy == "noeviction",
            "set maxmemory-policy noeviction: else streams may be thrown away",
        ),
    ]


def _check(name: str, found: str, ok: bool, advice: str) -> ServerCheck:
    if found.endswith("unknown"):
        return ServerCheck(name, None, found, advice)
    return ServerCheck(name, ok, found, "" if ok else advice)


def _is_recent(version: str) -> bool:
    parts = version.split(".")[:2]
    return all(part.isdigit() for part in parts) and tuple(map(int, parts)) >= _OLDEST


async def _setting(client: Client, name: str) -> str:
    try:
        values = await client.config_get(name)
    except ResponseError:  # CONFIG is forbidden, as it is on most hosted servers.
        return "unknown"
    return str(values.get(name, "unknown"))
