"""Throughput of the receiver of webhooks: `python -m bench.receiver`.

    python -m bench.receiver [--seconds 10] [--connections 32] [--preset stripe] [--profile FILE]

Starts Valkey, Postgres and `goald api` in a temporary directory, creates a source, and sends
signed deliveries of one Stripe payment each, all different, over keep-alive connections, one at a
time on each. The API may use one core; the sender, Valkey and Postgres share the other cores.
Prints deliveries per second, percentiles of the response time, and the CPU time of the API for each
delivery, which is comparable on a machine that is shared.
"""

import argparse
import asyncio
import hmac
import json
import os
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import psutil

from bench.stage import Stage

SECRET = "whsec_" + "k" * 24
DEADLINE_S = 60.0


@dataclass
class Measured:
    """The responses of one run."""

    seconds: float
    cpu_s: float
    times_s: list[float]


def payload(number: int) -> bytes:
    """One payment, with the members that Stripe sends and the preset reads."""
    session = {
        "id": f"cs_live_{number:012}",
        "object": "checkout.session",
        "amount_subtotal": 4900,
        "amount_total": 4900,
        "client_reference_id": f"crm-{number % 100_000}",
        "currency": "eur",
        "customer_details": {"email": f"c{number}@example.com", "name": "Ann", "phone": None},
        "livemode": True,
        "metadata": {"product_id": "course-1"},
        "mode": "payment",
        "payment_intent": f"pi_{number}",
        "payment_method_types": ["card", "link"],
        "payment_status": "paid",
        "status": "complete",
        "success_url": "https://example.com/success?session_id={CHECKOUT_SESSION_ID}",
        "total_details": {"amount_discount": 0, "amount_shipping": 0, "amount_tax": 0},
    }
    event = {
        "id": f"evt_{number:012}",
        "object": "event",
        "api_version": "2026-06-30",
        "created": int(time.time()),
        "data": {"object": session},
        "livemode": True,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": "checkout.session.completed",
    }
    return json.dumps(event, indent=2).encode()


def request(path: str, number: int) -> bytes:
    """The bytes of one signed delivery."""
    body, at = payload(number), int(time.time())
    signature = hmac.digest(SECRET.encode(), f"{at}.".encode() + body, "sha256").hex()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: goald\r\nContent-Type: application/json\r\n"
        f"Stripe-Signature: t={at},v1={signature}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _connection(
    address: tuple[str, int], path: str, numbers: Any, until: float, times_s: list[float]
) -> None:
    reader, writer = await asyncio.open_connection(*address)
    while time.perf_counter() < until:
        sent = request(path, next(numbers))
        began = time.perf_counter()
        writer.write(sent)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        times_s.append(time.perf_counter() - began)
        if not head.startswith(b"HTTP/1.1 200") or b'"accepted":1' not in body:
            raise SystemExit(f"not accepted: {head!r} {body!r}")
    writer.close()


async def measure(url: str, path: str, api: psutil.Process, options: Any) -> Measured:
    """Send for the given time over the given number of connections."""
    parts = urlsplit(url)
    address = (parts.hostname or "", parts.port or 0)
    numbers = iter(range(10**9))
    warm_up: list[float] = []
    await _connection(address, path, numbers, time.perf_counter() + 1, warm_up)
    times_s: list[float] = []
    before, began = api.cpu_times(), time.perf_counter()
    until = began + options.seconds
    await asyncio.gather(
        *(_connection(address, path, numbers, until, times_s) for _ in range(options.connections))
    )
    seconds, after = time.perf_counter() - began, api.cpu_times()
    cpu_s = after.user + after.system - before.user - before.system
    return Measured(seconds, cpu_s, times_s)


def start_api(stage: Stage, directory: Path, secret: str, profile: str) -> subprocess.Popen[bytes]:
    """Start `goald api` on one core."""
    inherited = {name: value for name, value in os.environ.items() if "GOALD_" not in name.upper()}
    environment = inherited | {
        "GOALD_DATA_DIR": str(directory),
        "GOALD_REDIS_URL": stage.redis_url,
        "GOALD_POSTGRES_DSN": stage.postgres_dsn,
        "GOALD_JWT_SECRET": secret,
        "GOALD_SECRETS_KEYS": "j1N9xjP0T0dJHrNpyqR4Qk1cVYyP3x2Kq2Z8m5nU7wE=",
        "GOALD_API_PORT": "0",
        "GOALD_QUOTA_REQUESTS": "100000",
        "GOALD_QUOTA_EVENTS": "100000",
        "GOALD_QUOTA_BYTES": str(1 << 30),
        "GOALD_LOG_LEVEL": "warning",
    }
    words = ["-m", "cProfile", "-o", profile] if profile else []
    process = subprocess.Popen(
        [sys.executable, *words, "-m", "goald.cli.main", "api"],
        env=environment,
        stdout=subprocess.PIPE,
    )
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(process.pid, {max(os.sched_getaffinity(0))})
    return process


def api_url(process: subprocess.Popen[bytes]) -> str:
    """The URL that `goald api` prints."""
    if process.stdout is None:
        raise SystemExit("goald api prints nothing")
    for line in process.stdout:
        for word in line.decode().split():
            if word.startswith("http://"):
                return word.rstrip(".,")
    raise SystemExit("goald api does not start")


def create_source(url: str, secret: str) -> str:
    """Create the source. Returns the path of its URL."""
    claims = {"iss": "goald", "aud": "goald", "sub": "bench", "exp": time.time() + 3_600}
    claims |= {"tenant_id": "bench", "scope": "workflows:edit"}
    token = jwt.encode(claims, secret, algorithm="HS256")
    answer = httpx.put(
        f"{url}/api/v1/sources/stripe",
        json={"preset": "stripe", "secrets": [SECRET]},
        headers={"authorization": f"Bearer {token}"},
        timeout=DEADLINE_S,
    )
    answer.raise_for_status()
    return str(answer.json()["url"])


def main() -> None:
    """Run it: `--seconds`, and about 10 s more."""
    parser = argparse.ArgumentParser(prog="python -m bench.receiver")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--profile", default="", help="write a profile of the API to this file")
    options = parser.parse_args()
    secret = secrets.token_urlsafe(32)
    with (
        tempfile.TemporaryDirectory(prefix="goald-bench-") as name,
        Stage(Path(name) / "data") as stage,
    ):
        process = start_api(stage, Path(name) / "data", secret, options.profile)
        try:
            url = api_url(process)
            path = create_source(url, secret)
            measured = asyncio.run(measure(url, path, psutil.Process(process.pid), options))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)
    count = len(measured.times_s)
    percentiles = statistics.quantiles(measured.times_s, n=100)
    print(f"load       {os.getloadavg()[0]:>8.1f}  on {os.cpu_count()} cores")
    print(f"deliveries {count / measured.seconds:>8,.0f} /s")
    print(f"p50        {percentiles[49] * 1e3:>8.1f} ms")
    print(f"p95        {percentiles[94] * 1e3:>8.1f} ms")
    print(f"CPU        {measured.cpu_s / count * 1e6:>8,.0f} us of the API for each delivery")
    print(f"one core   {count / measured.cpu_s:>8,.0f} deliveries/s of CPU time")


if __name__ == "__main__":
    main()
