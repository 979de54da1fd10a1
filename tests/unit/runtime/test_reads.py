"""Reads that waited for their turn."""

from typing import Any, cast

from goald.runtime.http.fair_queue import FairQueue
from goald.runtime.http.protocol import BoundedHttp
from goald.runtime.http.reads import BoundedReads


class Turns:
    """A queue whose units wait until the test runs them."""

    def __init__(self) -> None:
        self.units: list[Any] = []

    def run(self, client: str, unit: Any) -> bool:
        self.units.append(unit)
        return False


class Connection:
    """A transport, and the HTTP protocol on it."""

    client_key = "192.0.2.1"
    waits_for_turn = False
    read_paused = False

    def __init__(self) -> None:
        self.flow = self
        self.received: list[bytes] = []
        self.is_ended = False

    def is_closing(self) -> bool:
        return self.is_ended

    def pause_reading(self) -> None:
        pass

    resume_reading = pause_reading

    def connection_made(self, transport: object) -> None:
        pass

    connection_lost = connection_made

    def data_received(self, data: bytes) -> None:
        self.received.append(data)


def waiting() -> tuple[BoundedReads, Connection, Turns]:
    """A connection with one read that waits."""
    turns, connection = Turns(), Connection()
    http, queue = cast(BoundedHttp, connection), cast(FairQueue, turns)
    reads = BoundedReads(http, memoryview(bytearray(b"GET /")), queue)
    reads.connection_made(connection)
    reads.buffer_updated(3)
    assert connection.waits_for_turn
    return reads, connection, turns


def test_a_read_is_processed_in_its_turn() -> None:
    _, connection, turns = waiting()
    turns.units[0]()
    assert connection.received == [b"GET"]
    assert not connection.waits_for_turn


def test_a_read_of_a_connection_that_has_ended_is_not_processed() -> None:
    reads, lost, turns = waiting()
    reads.connection_lost(None)
    turns.units[0]()
    _, closing, turns = waiting()
    closing.is_ended = True
    turns.units[0]()
    assert lost.received == closing.received == []
