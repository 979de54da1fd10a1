"""`goald status`: is it ready, how far behind is it, and which processes is it."""

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from goald.cli.output.exit_codes import Code
from goald.cli.output.printing import masked, print_json, say, table

if TYPE_CHECKING:
    from goald.ports.process_registry import Heartbeat, Readings
    from goald.runtime.instance import Instance


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show readiness, lag and processes. Ends with 4 where goald is not ready.

    A lag of 0 means that everything sent has taken effect.
    """
    from goald.runtime.instance import find
    from goald.settings import load_settings

    instance = find(load_settings())
    found = asyncio.run(_gather(instance))
    if as_json:
        print_json(found)
    else:
        _show(found)
    if not found["ready"]:
        raise typer.Exit(Code.NOT_READY)


async def _gather(instance: "Instance") -> dict[str, Any]:
    from goald.adapters.redis.connect import connect
    from goald.adapters.redis.process_registry import RedisProcessRegistry
    from goald.runtime.heartbeat.readiness import not_ready_reasons

    board, client = RedisProcessRegistry(instance.redis_url), connect(instance.redis_url)
    try:
        readings = await board.readings()
        streams = [await _stream(client, name, lag) for name, lag in readings.lag.items()]
    finally:
        await board.close()
        await client.aclose()
    missing = not_ready_reasons(readings.heartbeats, readings.at)
    driver = next((each for each in readings.heartbeats if each.role == "supervisor"), None)
    return {
        "ready": not missing,
        "not_ready": missing,
        "lag": sum(readings.lag.values()),
        "dead": readings.dead,
        "dead_dropped": readings.dead_dropped,
        "streams": streams,
        "processes": _processes(readings, instance),
        "pid": instance.pid,
        "started_at": instance.started_at,
        "redis_url": instance.redis_url,
        "postgres_dsn": instance.postgres_dsn,
        "api_url": instance.api_url or (driver.api_url if driver else None),
        "metrics_url": instance.metrics_url or (driver.metrics_url if driver else None),
        "data_dir": instance.data_dir,
    }


async def _stream(client: Any, name: str, lag: int) -> dict[str, Any]:
    """Length and pending of a stream; a stream nobody has written to has none."""
    from goald.adapters.redis.connect import service_errors
    from goald.redis_keys import GROUP

    pending = 0
    async with service_errors():
        if await client.exists(name):
            for group in await client.xinfo_groups(name):
                if group["name"] == GROUP.encode():
                    pending = int(group["pending"])
        length = int(await client.xlen(name))
    return {"name": name, "length": length, "pending": pending, "lag": lag}


def _processes(readings: "Readings", instance: "Instance") -> list[dict[str, Any]]:
    """Those that say that they live, then what else an embedded goald has started."""
    known = [_process(heartbeat, readings) for heartbeat in readings.heartbeats]
    pids = {each["pid"] for each in known}
    return known + [each for each in _embedded(instance) if each["pid"] not in pids]


def _process(heartbeat: "Heartbeat", readings: "Readings") -> dict[str, Any]:
    from goald.runtime.heartbeat.readiness import STALE_SECONDS

    age = heartbeat.age_s(readings.at)
    return {
        "role": heartbeat.role,
        "index": heartbeat.index,
        "pid": heartbeat.pid,
        "host": heartbeat.host,
        "ready": heartbeat.ready and age < STALE_SECONDS,
        "age_s": round(age, 3),
    }


def _embedded(instance: "Instance") -> list[dict[str, Any]]:
    """The services that an embedded goald has started, from its record of them."""
    if instance.data_dir is None:
        return []
    import socket

    from goald.runtime.embedded.processes import ProcessRecord

    record = ProcessRecord(Path(instance.data_dir) / "run" / "processes.json")
    counts: dict[str, int] = {}
    found = []
    for process in record.processes():
        index = counts.get(process.role, 0)
        counts[process.role] = index + 1
        found.append(
            {
                "role": process.role,
                "index": index,
                "pid": process.pid,
                "host": socket.gethostname(),
                "ready": process.is_alive(),
                "age_s": None,
            }
        )
    return found


def _show(found: dict[str, Any]) -> None:
    say("ready" if found["ready"] else f"NOT READY: {'; '.join(found['not_ready'])}")
    dropped = f" and {found['dead_dropped']:,} dropped" if found["dead_dropped"] else ""
    say(f"lag {found['lag']:,}, dead {found['dead']:,}{dropped}")
    say("")
    table(["stream", "length#", "pending#", "lag#"], _rows(found["streams"]))
    say("")
    table(["process", "index#", "pid", "host", "ready", "heard of"], _process_rows(found))
    say("")
    for name in ("redis_url", "postgres_dsn", "api_url", "metrics_url", "data_dir"):
        if found[name]:
            say(f"{name:<13} {masked(found[name])}")


def _rows(dictionaries: Iterable[dict[str, Any]]) -> list[list[object]]:
    return [list(each.values()) for each in dictionaries]


def _process_rows(found: dict[str, Any]) -> list[list[object]]:
    return [
        [
            each["role"],
            each["index"],
            str(each["pid"]),
            each["host"],
            each["ready"],
            None if each["age_s"] is None else f"{each['age_s']:.1f} s ago",
        ]
        for each in found["processes"]
    ]


def add_to(app: typer.Typer) -> None:
    """Register the command of this file."""
    app.command()(status)
