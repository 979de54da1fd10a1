"""`goald status`: readiness, lag, streams and processes."""

import asyncio
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from goald.cli.output.exit_codes import Code
from goald.cli.output.printing import masked, print_json, say, table
from goald.cli.target import reach

if TYPE_CHECKING:
    from goald.operations.status import Status
    from goald.runtime.instance import Instance

NOT_READ = "not read by goald"
"""In place of pending and lag of a stream that other programs read."""
NO_HEARTBEAT = "sends none"


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    name: Annotated[
        str | None,
        typer.Option(
            "--get", metavar="NAME", help="Print one value of the JSON, such as redis_url or lag."
        ),
    ] = None,
) -> None:
    """Show readiness, lag, streams and processes. Exits with 4 if goald is not ready.

    A lag of 0 means that every event sent has been processed.
    """
    from goald.runtime.instance import find
    from goald.runtime.wiring import operations
    from goald.settings import load_settings

    instance = find(load_settings())
    with reach(instance):
        report = _report(asyncio.run(operations.status(instance.redis_url)), instance)
    if name is not None:
        _print_value(report, name)
    elif as_json:
        print_json(report)
    else:
        _print(report)
    if not report["ready"]:
        raise typer.Exit(Code.NOT_READY)


def _report(found: "Status", instance: "Instance") -> dict[str, Any]:
    supervisor = found.supervisor
    return {
        "ready": found.ready,
        "not_ready": list(found.not_ready_reasons),
        "lag": found.lag,
        "dead": found.readings.dead,
        "dead_dropped": found.readings.dead_dropped,
        "erasures": {
            "pending": found.readings.erasures_pending,
            "oldest_s": found.readings.oldest_erasure_s,
            "in_tables": found.readings.erasures_in_tables,
            "in_tables_oldest_s": found.readings.oldest_erasure_in_tables_s,
        },
        "transfers": dataclasses.asdict(found.readings.transfers),
        "executions": dict(found.executions),
        "streams": [dataclasses.asdict(each) for each in found.streams],
        "stream_bytes": {level.name: level.bytes for level in found.levels.all()},
        "stream_lengths": {level.name: level.length for level in found.levels.all()},
        "redis_bytes": found.levels.used_bytes,
        "redis_max_bytes": found.levels.max_bytes,
        "processes": _processes(found, instance),
        "pid": instance.pid,
        "started_at": instance.started_at,
        "redis_url": instance.redis_url,
        "postgres_dsn": instance.postgres_dsn,
        "api_url": instance.api_url or (supervisor.api_url if supervisor else None),
        "metrics_url": instance.metrics_url or (supervisor.metrics_url if supervisor else None),
        "data_dir": instance.data_dir,
    }


def _processes(found: "Status", instance: "Instance") -> list[dict[str, Any]]:
    """The processes that send heartbeats, then the other processes of an embedded goald."""
    from goald.runtime.heartbeat.readiness import STALE_SECONDS

    reporting = []
    for each in found.readings.heartbeats:
        age = each.age_s(found.readings.at)
        reporting.append(
            {
                "role": each.role,
                "index": each.index,
                "pid": each.pid,
                "host": each.host,
                "ready": each.ready and age < STALE_SECONDS,
                "heartbeat_age_s": round(age, 3),
            }
        )
    pids = {each["pid"] for each in reporting}
    return reporting + [each for each in _embedded(instance) if each["pid"] not in pids]


def _embedded(instance: "Instance") -> list[dict[str, Any]]:
    """The processes that an embedded goald has started, from its record in the data directory."""
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
                "heartbeat_age_s": None,
            }
        )
    return found


def _print_value(report: dict[str, Any], name: str) -> None:
    """Text as it is, for a shell; other values as JSON."""
    from goald.domain.errors import NotFound
    from goald.domain.suggestions import nearest

    if name not in report:
        near = nearest(name, report)
        question = f"Did you mean {near}?" if near else f"It has {', '.join(report)}."
        raise typer.BadParameter(f"--get: the status has no {name}. {question}")
    value = report[name]
    if value is None:
        raise NotFound(f"This goald has no {name}.")
    if isinstance(value, str):
        say(value)
    else:
        print_json(value, lines=True)


def _print(report: dict[str, Any]) -> None:
    if report["ready"]:
        say("ready")
    else:
        cause, *others = report["not_ready"]
        say(f"NOT READY: {cause}")
        for other in others:
            say(f"  also: {other}")
    dropped = report["dead_dropped"]
    say(
        f"lag {report['lag']:,}, dead letters {report['dead']:,}"
        + (f" and {dropped:,} dropped because goald:dead was full" if dropped else "")
    )
    if text := _stuck_transfers(report["transfers"]):
        say(text)
    if executions := report["executions"]:
        say("executions: " + ", ".join(f"{count:,} {name}" for name, count in executions.items()))
    say("")
    table(["stream", "length#", "pending#", "lag#", "memory"], _stream_rows(report))
    say("")
    table(["process", "index#", "pid", "host", "ready", "last heartbeat"], _process_rows(report))
    say("")
    for name in ("redis_url", "postgres_dsn", "api_url", "metrics_url", "data_dir"):
        if report[name]:
            say(f"{name:<13} {masked(report[name])}")


def _stuck_transfers(transfers: dict[str, Any]) -> str:
    """A line about merged contacts whose enrollments do not move; empty if there is none."""
    parts = [
        f"{transfers[state]:,} {state} (oldest {transfers[f'{state}_oldest_s']:,.0f} s)"
        for state in ("waiting", "refused")
        if transfers[state]
    ]
    return f"merged contacts: {', '.join(parts)}" if parts else ""


def _stream_rows(report: dict[str, Any]) -> list[list[object]]:
    sizes = dict(report["stream_bytes"])
    rows = [[*each.values(), _mib(sizes.pop(each["name"], 0))] for each in report["streams"]]
    return rows + [
        [name, report["stream_lengths"][name], NOT_READ, NOT_READ, _mib(size)]
        for name, size in sizes.items()
    ]


def _mib(size: int) -> str:
    return f"{size / (1 << 20):,.1f} MiB"


def _process_rows(report: dict[str, Any]) -> list[list[object]]:
    return [
        [
            each["role"],
            each["index"],
            str(each["pid"]),
            each["host"],
            each["ready"],
            NO_HEARTBEAT
            if each["heartbeat_age_s"] is None
            else f"{each['heartbeat_age_s']:.1f} s ago",
        ]
        for each in report["processes"]
    ]


def add_to(app: typer.Typer) -> None:
    """Register the command of this file."""
    app.command()(status)
