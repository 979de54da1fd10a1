"""Work of many clients in one event loop: each gets its turn (D8)."""

import asyncio
from collections.abc import Callable
from functools import partial

from goald.runtime.http.fair_queue import PER_TURN, FairQueue


def log_of(queue_up: Callable[[FairQueue, list[str]], None], turns: int) -> list[str]:
    """Which units ran within this number of turns of the event loop."""

    async def scenario() -> list[str]:
        queue, log = FairQueue(), list[str]()
        queue_up(queue, log)
        for _ in range(turns):
            await asyncio.sleep(0)
        return list(log)

    return asyncio.run(scenario())


def test_a_client_with_much_work_does_not_delay_another() -> None:
    def queue_up(queue: FairQueue, log: list[str]) -> None:
        for _ in range(100 * PER_TURN):
            queue.run("flood", lambda: log.append("flood"))
        queue.run("other", lambda: log.append("other"))

    assert "other" in log_of(queue_up, 2)


def test_clients_take_turns() -> None:
    def queue_up(queue: FairQueue, log: list[str]) -> None:
        for client in ("a", "b", "c"):
            for _ in range(10 * PER_TURN):
                queue.run(client, partial(log.append, client))

    log = log_of(queue_up, 10)[PER_TURN:]  # after those that were run immediately
    counts = [log.count(client) for client in ("a", "b", "c")]
    assert min(counts) > 0
    assert max(counts) - min(counts) <= 1


def test_a_turn_is_bounded_and_nothing_is_lost() -> None:
    def queue_up(queue: FairQueue, log: list[str]) -> None:
        for number in range(3 * PER_TURN):
            queue.run(f"client-{number % 5}", partial(log.append, str(number)))

    assert len(log_of(queue_up, 0)) == PER_TURN
    assert len(log_of(queue_up, 1)) <= 2 * PER_TURN
    log = log_of(queue_up, 10)
    assert sorted(map(int, log)) == list(range(3 * PER_TURN))
    for client in range(5):
        own = [int(number) for number in log if int(number) % 5 == client]
        assert own == sorted(own), "the units of a client are out of order"


def test_a_unit_that_queues_another_leaves_room_for_others() -> None:
    def queue_up(queue: FairQueue, log: list[str]) -> None:
        def endless() -> None:
            log.append("endless")
            queue.run("endless", endless)

        endless()
        for _ in range(2 * PER_TURN):
            queue.run("other", lambda: log.append("other"))

    assert log_of(queue_up, 8).count("other") == 2 * PER_TURN
