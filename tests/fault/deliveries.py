"""Deliveries of a provider while processes are killed: nothing is lost, doubled or unjustified.

    python -m tests.fault.deliveries --deliveries 20000 --kills 12 --seed 7

A provider delivers signed payments in another order than they were made, and 5% of them twice. It
repeats a delivery until it gets a 200, as providers do. Meanwhile the API, shards, consumers and
Redis are killed with SIGKILL. At the end, each contact with a payment of the goal's minimum amount
has left its workflow exactly once, and no other contact has.
"""

import argparse
import asyncio
import json
import random
import secrets
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import jwt
import redis
from tests.fault.harness.environment import DaemonWithApi, FaultEnvironment
from tests.fault.harness.servers import until
from tests.support.sources.signing import SIGNERS, Request

from goald.client import Publisher, event
from goald.redis_keys import EXITS, FIELD, GROUP, event_stream

TENANT = "shop"
DUPLICATES = 0.05
ACHIEVING = 0.8
"""The share of payments that meet the goal."""
SENDERS = 16
GIVE_UP_S = 600.0
SECRETS_KEY = "j1N9xjP0T0dJHrNpyqR4Qk1cVYyP3x2Kq2Z8m5nU7wE="
STREAMS = 4
CONFIGURATION = """
tenant: shop
workflows:
  - id: launch
    name: Launch
    goal_logic: any
    active: true
    goals:
      - goal_type: purchase_made
        criteria: {min_amount: "20.00"}
        effective_from: 2026-01-01T00:00:00Z
"""


@dataclass
class Outcome:
    """The differences between the payments that were delivered and the exits."""

    delivered: int
    attempts: int
    kills: Counter[str]
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    unjustified: list[str] = field(default_factory=list)

    @property
    def is_correct(self) -> bool:
        return not (self.lost or self.doubled or self.unjustified)

    def __str__(self) -> str:
        kills = ", ".join(f"{number} x {what}" for what, number in sorted(self.kills.items()))
        return (
            f"{self.delivered:,} deliveries in {self.attempts:,} attempts; killed: {kills}; "
            f"{len(self.lost)} lost, {len(self.doubled)} doubled, "
            f"{len(self.unjustified)} unjustified"
        )


class Payments:
    """The payments of a run: one for each contact."""

    def __init__(self, count: int, rng: random.Random) -> None:
        distinct = round(count / (1 + DUPLICATES))
        self.achieving = {n for n in range(distinct) if rng.random() < ACHIEVING}
        self.contacts = [f"c-{n}" for n in range(distinct)]
        self.deliveries = [*range(distinct), *rng.choices(range(distinct), k=count - distinct)]
        rng.shuffle(self.deliveries)

    def body(self, number: int) -> bytes:
        """The payload of one payment: the same bytes for each delivery of it."""
        session = {
            "id": f"cs_live_{number}",
            "mode": "payment",
            "payment_status": "paid",
            "amount_total": 4900 if number in self.achieving else 500,
            "currency": "eur",
            "client_reference_id": self.contacts[number],
        }
        payload = {
            "id": f"evt_{number}",
            "object": "event",
            "type": "checkout.session.completed",
            "created": 1_785_758_400,
            "livemode": True,
            "data": {"object": session},
        }
        return json.dumps(payload).encode()


class Provider:
    """Delivers payments to one URL, each until it gets a 200."""

    def __init__(self, url: str, payments: Payments) -> None:
        self._url = url
        self._payments = payments
        self._pending = iter(payments.deliveries)
        self._signer = SIGNERS["stripe"]
        self.attempts = 0
        self.done = 0
        self.error: BaseException | None = None

    def run(self) -> None:
        """Deliver all payments. Blocks; for a thread."""
        try:
            asyncio.run(self._deliver_all())
        except BaseException as error:  # the main thread raises it
            self.error = error

    async def _deliver_all(self) -> None:
        async with httpx.AsyncClient(timeout=10) as client:
            await asyncio.gather(*(self._sender(client, self._pending) for _ in range(SENDERS)))

    async def _sender(self, client: httpx.AsyncClient, pending: Iterator[int]) -> None:
        for number in pending:
            deadline = time.monotonic() + GIVE_UP_S
            while not await self._is_accepted(client, self._payments.body(number)):
                assert time.monotonic() < deadline, f"payment {number} is not accepted"
                await asyncio.sleep(0.2)
            self.done += 1

    async def _is_accepted(self, client: httpx.AsyncClient, body: bytes) -> bool:
        self.attempts += 1
        sent = Request(body, int(time.time()), self._url, self._signer.secret)
        headers = {"content-type": "application/json", **self._signer.sign(sent)}
        try:
            answer = await client.post(self._url, content=body, headers=headers)
        except httpx.HTTPError:
            return False
        assert answer.status_code in (200, 429, 500, 503), answer.text
        if answer.status_code != 200:
            return False
        assert answer.json() == {"accepted": 1, "reasons": []}, answer.text
        return True


class Killer:
    """Kills processes at random, one after another."""

    def __init__(self, environment: FaultEnvironment, rng: random.Random) -> None:
        self._environment = environment
        self._rng = rng
        self.kills: Counter[str] = Counter()

    def run(self, kills: int, provider: Provider, total: int) -> None:
        """Spread the kills over the deliveries. Returns when all are accepted. Must be called on
        the main thread: the servers that it starts end with their thread."""
        for number in range(kills):
            while provider.done < total * (number + 1) // (kills + 1):
                self._wait(provider)
            what = ("api:0", "redis", "shard:0", "consumer:0", "shard:1")[number % 5]
            self._kill(what)
            self.kills[what] += 1
        while provider.done < total:
            self._wait(provider)

    def _wait(self, provider: Provider) -> None:
        if provider.error is not None:
            raise provider.error
        self._environment.goald.restart_if_ended()
        time.sleep(0.02)

    def _kill(self, what: str) -> None:
        goald = self._environment.goald
        assert isinstance(goald, DaemonWithApi)
        if what == "redis":
            server = self._environment.servers.redis
            server.kill()
            time.sleep(self._rng.random() / 2)
            server.start()
            return
        until(f"heartbeat of {what}", lambda: self._has_ended(goald, what))

    def _has_ended(self, goald: DaemonWithApi, what: str) -> bool:
        try:
            goald.process_of(what).kill()
        except (StopIteration, redis.RedisError, OSError):
            return False
        return True


def run(deliveries: int, kills: int, seed: int) -> Outcome:
    """Deliver the payments and judge the exits. Must be called on the main thread."""
    rng = random.Random(seed)
    payments = Payments(deliveries, rng)
    secret, port = secrets.token_hex(32), _free_port()
    more = {
        "GOALD_API_PORT": str(port),
        "GOALD_JWT_SECRET": secret,
        "GOALD_SECRETS_KEYS": SECRETS_KEY,
        "GOALD_QUOTA_REQUESTS": "0",
        "GOALD_QUOTA_EVENTS": "0",
        "GOALD_QUOTA_BYTES": "0",
    }
    with FaultEnvironment(
        lambda servers: DaemonWithApi(servers.redis.url, servers.postgres.dsn, servers.path, more)
    ) as environment:
        environment.configure(CONFIGURATION)
        environment.start()
        base = f"http://127.0.0.1:{port}"
        provider = Provider(base + _create_source(base, secret), payments)
        killer = Killer(environment, rng)
        asyncio.run(_enroll(environment.redis_url, payments))
        threading.Thread(target=provider.run, daemon=True).start()
        killer.run(kills, provider, len(payments.deliveries))
        until("end of the lag", lambda: _is_idle(environment), GIVE_UP_S)
        outcome = Outcome(deliveries, provider.attempts, killer.kills)
        _judge(environment, payments, outcome)
        return outcome


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _create_source(base: str, secret: str) -> str:
    claims = {"iss": "goald", "aud": "goald", "sub": "fault", "exp": time.time() + 3_600}
    claims |= {"tenant_id": TENANT, "scope": "workflows:edit"}
    answer = httpx.put(
        f"{base}/api/v1/sources/stripe",
        json={"preset": "stripe", "secrets": [SIGNERS["stripe"].secret]},
        headers={"authorization": f"Bearer {jwt.encode(claims, secret, algorithm='HS256')}"},
        timeout=30,
    )
    assert answer.status_code == 201, answer.text
    return str(answer.json()["url"])


async def _enroll(redis_url: str, payments: Payments) -> None:
    async with Publisher(redis_url) as publisher:
        for contact in payments.contacts:
            data: dict[str, Any] = {
                "workflow_id": "launch",
                "enrollment_id": f"launch-{contact}",
                "enrolled_at": "2026-02-01T00:00:00Z",
            }
            started = event("workflow.enrollment.started", TENANT, contact, data, source="engine")
            await publisher.publish(started)


def _is_idle(environment: FaultEnvironment) -> bool:
    environment.goald.restart_if_ended()
    try:
        with environment.servers.redis.client() as client:
            for partition in range(STREAMS):
                groups = client.xinfo_groups(event_stream(partition))
                group = next(each for each in groups if each["name"] == GROUP.encode())
                if group["lag"] or group["pending"]:
                    return False
    except (redis.RedisError, OSError, StopIteration):
        return False
    outbox = environment.servers.postgres.sql(
        "SELECT count(*) FROM goald.outbox WHERE published_at IS NULL"
    )
    return outbox == [(0,)]


def _judge(environment: FaultEnvironment, payments: Payments, outcome: Outcome) -> None:
    """Compare the exits on the stream, and the achievements in Postgres, with the payments."""
    with environment.servers.redis.client() as client:
        entries = [json.loads(fields[FIELD.encode()]) for _, fields in client.xrange(EXITS)]
    # A message that is published again, after a kill of Redis, has the same id.
    exits = Counter(contact for _, contact in {(e["id"], e["data"]["contact_id"]) for e in entries})
    rows = environment.servers.postgres.sql(
        "SELECT contact_id, count(*) FROM goald.workflow_goal_achievements"
        " WHERE tenant_id = %s GROUP BY 1",
        TENANT,
    )
    achieved = {str(contact): int(number) for contact, number in rows}
    for number, contact in enumerate(payments.contacts):
        found = (exits[contact], achieved.get(contact, 0))
        if number not in payments.achieving:
            if found != (0, 0):
                outcome.unjustified.append(contact)
        elif min(found) == 0:
            outcome.lost.append(contact)
        elif found != (1, 1):
            outcome.doubled.append(contact)
    outcome.unjustified += sorted(exits.keys() - set(payments.contacts))


def main() -> int:
    """Run it. Returns 0 if nothing is lost, doubled or unjustified."""
    parser = argparse.ArgumentParser(prog="python -m tests.fault.deliveries")
    parser.add_argument("--deliveries", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=15)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    began = time.monotonic()
    outcome = run(options.deliveries, options.kills, options.seed)
    print(f"{outcome}, in {time.monotonic() - began:.0f} s")
    return 0 if outcome.is_correct else 1


if __name__ == "__main__":
    sys.exit(main())
