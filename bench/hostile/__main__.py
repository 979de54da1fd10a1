"""Measures the cost of hostile clients for others: `python -m bench.hostile`.

    python -m bench.hostile [--connections 200] [--seconds 10] [--kinds NAME ...] [--spread]
    python -m bench.hostile --restart

Starts `goald serve --embedded` in a temporary directory. For each kind, hostile clients in a
separate process keep that many connections open over loopback, while a correct client sends signed
webhooks and reads /livez, each on a new connection from another address. Prints for each kind the
growth of the process that grew most, and the 99th percentiles of the correct client. Targets: at
most 32 MiB and 250 ms.
"""

import argparse
import asyncio
import json
import multiprocessing
import socket
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil

from bench.hostile import restart
from bench.hostile.kinds import KINDS, KNOWN, run
from bench.load import Daemon
from goald.api.auth.signatures import parse_secret, sign

TENANT = "acme"
PROBE_S = 0.02
SAMPLE_S = 0.5
"""Between two readings of the memory, which take processor time from the measured processes."""
TIMEOUT_S = 5.0
MEMORY_MIB = 32
LATENCY_MS = 250


@dataclass(slots=True)
class Probes:
    """A correct client on its own thread, from `start` to `stop`."""

    port: int
    secret: str
    latencies: dict[str, list[float]] = field(default_factory=lambda: {"webhook": [], "livez": []})
    failures: int = 0
    _end: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        number = 0
        while not self._end.is_set():
            number += 1
            self._measure("webhook", self._webhook(number), b"HTTP/1.1 202 ")
            self._measure("livez", _get("/livez"), b"HTTP/1.1 200 ")
            time.sleep(PROBE_S)

    def _measure(self, name: str, request: bytes, expected: bytes) -> None:
        began = time.perf_counter()
        response = b""
        try:
            with socket.create_connection(("127.0.0.1", self.port), TIMEOUT_S) as connection:
                connection.sendall(request)
                while received := connection.recv(65_536):
                    response += received
        except OSError:
            pass
        self.latencies[name].append(time.perf_counter() - began)
        if not response.startswith(expected):
            self.failures += 1

    def _webhook(self, number: int) -> bytes:
        at = int(time.time())
        body = json.dumps(
            {
                "id": f"evt-{number}",
                "source": "/bench",
                "type": "contact.tag.added",
                "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(at))}Z",
                "data": {"contact_id": "ann", "tag_name": "Customer"},
            }
        ).encode()
        signature = sign(parse_secret(self.secret), f"msg-{number}", at, body)
        return (
            f"POST /api/v1/events?tenant={TENANT}&provider=stripe HTTP/1.1\r\nhost: a\r\n"
            f"content-type: application/json\r\nconnection: close\r\nwebhook-id: msg-{number}\r\n"
            f"webhook-timestamp: {at}\r\nwebhook-signature: {signature}\r\n"
            f"content-length: {len(body)}\r\n\r\n"
        ).encode() + body


def _get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".encode()


def memory(pid: int) -> dict[int, float]:
    """The resident MiB of a process and its descendants."""
    found = {}
    parent = psutil.Process(pid)
    for each in (parent, *parent.children(recursive=True)):
        try:
            found[each.pid] = each.memory_info().rss / 2**20
        except psutil.Error:
            continue
    return found


def percentile(seconds: list[float]) -> float:
    """The 99th percentile in milliseconds; the greatest value of few."""
    return sorted(seconds)[int(len(seconds) * 0.99)] * 1e3


def measure(kind: str | None, pid: int, port: int, secret: str, options: argparse.Namespace) -> str:
    """Run one kind; None for no hostile clients. Returns its line."""
    before = memory(pid)
    peak = dict(before)
    probes = Probes(port, secret)
    attacker = multiprocessing.get_context("spawn").Process(
        target=run,
        args=(kind or "", port, options.connections, options.seconds, options.spread),
    )
    probes.start()
    if kind is not None:
        attacker.start()
    end = time.monotonic() + options.seconds + (2.0 if kind is not None else 0.0)
    while time.monotonic() < end:
        for each, mib in memory(pid).items():
            peak[each] = max(peak.get(each, mib), mib)
        time.sleep(SAMPLE_S)
    probes.stop()
    if kind is not None:
        attacker.join()
    growth = {each: mib - before[each] for each, mib in peak.items() if each in before}
    worst = max(growth, key=lambda each: growth[each])
    p99 = {name: percentile(found) for name, found in probes.latencies.items()}
    return (
        f"{kind or '(none)':26} {growth[worst]:6.1f} MiB {psutil.Process(worst).name()[:12]:12} "
        f"webhook {p99['webhook']:7.1f} ms  livez {p99['livez']:7.1f} ms  "
        f"{probes.failures} of {sum(map(len, probes.latencies.values()))} failed"
    )


def main() -> None:
    """Run all kinds; about five minutes."""
    parser = argparse.ArgumentParser(prog="python -m bench.hostile")
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--spread", action="store_true", help="one address for each client")
    parser.add_argument("--restart", action="store_true", help="kill the API process instead")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="goald-") as directory:
        daemon = Daemon(Path(directory) / "data")
        try:
            status = daemon.status()
            if options.restart:
                restart.configure(status["api_url"], daemon.token(restart.TENANT))
                for line in asyncio.run(
                    restart.measure(status["api_url"], status["redis_url"], status["pid"])
                ):
                    print(line)
                return
            port = urlsplit(status["api_url"]).port or 0
            secrets = {}
            for tenant in (TENANT, KNOWN):
                headers = {"authorization": f"Bearer {daemon.token(tenant)}"}
                response = httpx.put(f"{status['api_url']}/api/v1/webhooks/stripe", headers=headers)
                secrets[tenant] = response.raise_for_status().json()["secret"]
            measure(None, status["pid"], port, secrets[TENANT], options)  # warm-up
            for kind in (None, *options.kinds):
                print(measure(kind, status["pid"], port, secrets[TENANT], options), flush=True)
                time.sleep(2.0)
        finally:
            daemon.stop()
    print(f"targets: at most {MEMORY_MIB} MiB and {LATENCY_MS} ms")


if __name__ == "__main__":
    main()
