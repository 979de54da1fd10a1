"""The events of the races: the start of an execution, and an event that meets its goal at about
the time at which its next call is due."""

import asyncio
import heapq
import itertools
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import Any, Final

from goald.client import Publisher, event

TENANTS: Final = tuple(f"shop-{number}" for number in range(8))
"""Each has a limit of executions that are ACTIVE."""
PROMPT, TIMED = "prompt", "timed"
WAIT_S: Final = 1.0
FINISHING: Final = 0.1
"""The share of executions whose goal is not met."""
SLOW: Final = 0.05
"""The share of calls that take up to a second."""
STEPS: Final = ("first", "second")
_PATIENCE_S: Final = 600.0
_TICK_S: Final = 0.005
MAX_OPEN: Final = 1_000
"""No further execution starts while this many are open: goald may be down, or slow."""

Contact = tuple[str, str]
"""Tenant and contact."""
Event = dict[str, Any]


def configuration(tenant: str, url: str) -> str:
    """Two workflows of a tenant, as JSON for `goald apply`: the first calls immediately, the
    second waits before each of its calls."""
    call = 'action: webhook, with: {{url: "{url}", body: {body}}}'
    body = '{tenant: %s, execution: "{{ execution.id }}", step: %s, contact: "{{ contact.id }}"}'
    first, second = (call.format(url=url, body=body % (tenant, step)) for step in STEPS)
    goal = "{goal_type: purchase_made, criteria: {any_purchase: true}}"
    wait = f"{WAIT_S:.0f}s"
    return f"""
tenant: {tenant}
workflows:
  - id: {PROMPT}
    name: Calls immediately
    active: true
    goals: [{goal}]
    trigger: {{on: form_submitted, criteria: {{form_id: {PROMPT}}}}}
    steps:
      - {{id: {STEPS[0]}, {first}}}
      - {{id: {STEPS[1]}, {second}}}
  - id: {TIMED}
    name: Waits before it calls
    active: true
    goals: [{goal}]
    trigger: {{on: form_submitted, criteria: {{form_id: {TIMED}}}}}
    steps:
      - {{id: pause, wait: {{for: {wait}}}}}
      - {{id: {STEPS[0]}, {first}}}
      - {{id: again, wait: {{for: {wait}}}}}
      - {{id: {STEPS[1]}, {second}}}
"""


class Races:
    """Publishes the events of all races, in a thread, from `start` until `finish` returns."""

    def __init__(
        self,
        redis_url: str,
        prefix: str,
        count: int,
        rate: float,
        rng: random.Random,
        *,
        finishing: float = FINISHING,
    ) -> None:
        """`prefix`: of contacts and events. `count`: of races. `rate`: races a second.
        `finishing`: see FINISHING."""
        self._url = redis_url
        self._prefix = prefix
        self._rng = rng
        self._count = count
        self._rate = rate
        self._finishing = finishing
        self.started: dict[Contact, bool] = {}
        """Whether the event that meets the goal was sent."""
        self.ended = 0
        """The number of executions that have ended; the caller updates it."""
        self._pending: list[tuple[float, int, Event]] = []
        """The events of races that have begun, with their times."""
        self._sent: dict[Contact, list[Event]] = {}
        self._again: deque[Event] = deque()
        self._sending = threading.Lock()
        self._stop: Callable[[], object] | None = None
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="races", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        """Begin no further race."""
        self._count = 0

    @property
    def is_done(self) -> bool:
        """Whether everything was sent. Raises what the thread raised."""
        if self._failure is not None:
            raise self._failure
        return not self._thread.is_alive()

    def stop(self) -> None:
        """Stop sending, because the run has failed."""
        if self._stop is not None and self._thread.is_alive():
            self._stop()
            self._thread.join(_PATIENCE_S)

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Send nothing inside the block. Entering waits until Redis has accepted the events in
        progress."""
        with self._sending:
            yield

    def send_again(self, ended: Iterable[Contact]) -> None:
        """Redis lost data: send the events again of the contacts whose executions are not known to
        have ended (D10). Call it while `paused`."""
        done = set(ended)
        for contact in [each for each in self._sent if each in done]:
            del self._sent[contact]
        self._again.extend(event for events in self._sent.values() for event in events)

    def _run(self) -> None:
        try:
            asyncio.run(self._send())
        except BaseException as error:  # `is_done` raises it
            self._failure = error

    async def _send(self) -> None:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task is not None
        self._stop = partial(loop.call_soon_threadsafe, task.cancel)
        numbers = itertools.count()
        next_race = time.monotonic()
        async with Publisher(self._url, patience_s=_PATIENCE_S) as publisher:
            while len(self.started) < self._count or self._pending or self._again:
                with self._sending:
                    now = time.monotonic()
                    while next_race <= now and self._may_begin():
                        for due, sent in self._race(len(self.started), next_race):
                            heapq.heappush(self._pending, (due, next(numbers), sent))
                            self.started.setdefault(_contact(sent), False)
                        next_race += 1 / self._rate
                    next_race = max(next_race, now - _TICK_S)
                    for event in self._due(now):
                        await publisher.publish(event)
                    await publisher.flush()
                await asyncio.sleep(_TICK_S)

    def _may_begin(self) -> bool:
        begun = len(self.started)
        return begun < self._count and begun - self.ended < MAX_OPEN

    def _due(self, now: float) -> Iterator[Event]:
        """The events that must be sent, in order."""
        while self._again:
            yield self._again.popleft()
        while self._pending and self._pending[0][0] <= now:
            _, _, sent = heapq.heappop(self._pending)
            sent["time"] = datetime.now(UTC).isoformat()
            contact = _contact(sent)
            self.started[contact] = sent["type"] == "payment.completed"
            self._sent.setdefault(contact, []).append(sent)
            yield sent

    def _race(self, number: int, at: float) -> Iterator[tuple[float, Event]]:
        """The events of one contact. The goal is met around a time at which a call is due: before
        it, while it is in flight, or after it."""
        rng, tenant = self._rng, TENANTS[number % len(TENANTS)]
        contact = f"{self._prefix}-{number}"
        workflow = rng.choice((PROMPT, TIMED))
        form = {"form_id": workflow, "submission_id": f"s-{contact}"}
        yield at, event("form.submitted", tenant, contact, form, source="form", id=f"s-{contact}")
        if rng.random() < self._finishing:
            return
        calls = [0.0, 0.05] if workflow == PROMPT else [WAIT_S, 2 * WAIT_S + 0.05]
        due = at + rng.choice(calls) + rng.uniform(0.0, 0.25)
        if workflow == TIMED:
            due -= 0.05
        paid = {"amount": "20.00", "currency": "EUR"}
        id_ = f"p-{contact}"
        yield due, event("payment.completed", tenant, contact, paid, source="shop", id=id_)


def _contact(sent: Event) -> Contact:
    return sent["tenantid"], sent["data"]["contact_id"]
