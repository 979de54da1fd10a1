"""Measures reading statistics of a workflow with a million enrollments in a year.

    python -m bench.goal_statistics [--enrollments 1000000] [--reads 300] [--json]

Sends one request after another, for the whole year and for days that divide weeks: over HTTP,
with the client on the same cores, and directly with the reader. Nothing is cached.
"""

import argparse
import json
import secrets
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import asyncpg
import httpx
import jwt
import uvloop

from bench.history import TENANT, WORKFLOW, make_year
from bench.stage import Stage
from goald.adapters.postgres.records.statistics import PostgresStatistics
from goald.adapters.postgres.tenants import TenantPool
from goald.api.app import create_app
from goald.runtime.http.connections import ConnectionLimits
from goald.runtime.http.listen_socket import bind, url_of
from goald.runtime.http.server import ApiServer
from goald.runtime.wiring.api import api_dependencies
from goald.runtime.wiring.daemon import system_clock
from goald.settings import Settings

HOST = "127.0.0.1"
DAYS = {"year": (None, None), "quarter": (date(2025, 4, 1), date(2025, 6, 30))}


@dataclass(frozen=True)
class Read:
    """Latencies in milliseconds."""

    name: str
    p50: float
    p95: float


async def measure(name: str, reads: int, read: Callable[[], Awaitable[object]]) -> Read:
    """Measure `reads` calls, after a tenth of this number to warm up."""
    durations = []
    for number in range(-reads // 10, reads):
        began = time.perf_counter()
        await read()
        if number >= 0:
            durations.append((time.perf_counter() - began) * 1_000)
    cuts = statistics.quantiles(durations, n=20)
    return Read(name, round(cuts[9], 2), round(cuts[18], 2))


async def run(options: argparse.Namespace) -> list[Read]:
    """Generate the enrollments, and measure."""
    found: list[Read] = []
    secret = secrets.token_urlsafe(32)
    claims = {"iss": "goald", "aud": "goald", "sub": "bench", "exp": time.time() + 86_400}
    claims |= {"tenant_id": TENANT, "scope": "workflows:read"}
    token = jwt.encode(claims, secret, algorithm="HS256")
    with (
        tempfile.TemporaryDirectory(prefix="goald-") as directory,
        Stage(Path(directory)) as stage,
        bind(HOST, 0, what="the API", setting="GOALD_API") as listener,
    ):
        admin = await asyncpg.connect(stage.admin_dsn)
        await make_year(admin, options.enrollments)
        await admin.execute("VACUUM ANALYZE")
        await admin.close()
        settings = Settings(
            redis_url=stage.redis_url,
            postgres_dsn=stage.postgres_dsn,
            jwt_secret=secret,
            quota_requests=100_000,
        )
        server = ApiServer(create_app(api_dependencies(settings)), listener, ConnectionLimits())
        pool = TenantPool(stage.postgres_dsn, 1)
        reader = PostgresStatistics(pool, system_clock())
        await server.start()
        async with httpx.AsyncClient(
            base_url=url_of(listener, HOST), headers={"authorization": f"Bearer {token}"}
        ) as client:
            for name, (first, last) in DAYS.items():
                query = {"from": str(first), "to": str(last)} if first and last else {}

                async def ask(query: dict[str, str] = query) -> None:
                    path = f"/api/v1/workflows/{WORKFLOW}/goals/stats"
                    (await client.get(path, params=query)).raise_for_status()

                async def read(first: date | None = first, last: date | None = last) -> None:
                    await reader.read(TENANT, WORKFLOW, first, last)

                found.append(await measure(f"{name}, HTTP", options.reads, ask))
                found.append(await measure(f"{name}, reader", options.reads, read))
        await server.stop()
        await pool.close()
    return found


def main() -> None:
    """Print a line per measurement, or JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.goal_statistics")
    parser.add_argument("--enrollments", type=int, default=1_000_000)
    parser.add_argument("--reads", type=int, default=300)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = uvloop.run(run(options))
    if options.json:
        print(json.dumps([asdict(read) for read in found]))
        return
    for read in found:
        print(f"{read.name:16} p50 {read.p50:>7.2f} ms   p95 {read.p95:>7.2f} ms")


if __name__ == "__main__":
    main()
