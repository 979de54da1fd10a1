"""How jobs share the places of a worker (D8)."""

from goald.workers.backlog import Backlog, Receiver, ReceiverLimits

A, B = Receiver("acme", "a"), Receiver("acme", "b")
OTHER = Receiver("beta", "a")


def take_all(backlog: Backlog[int], now: float = 0.0) -> list[int]:
    taken = []
    while (found := backlog.take(now)) is not None:
        taken.append(found[1])
    return taken


def test_one_receiver_takes_half_of_the_places_and_one_tenant_two_thirds() -> None:
    backlog: Backlog[int] = Backlog(90)
    for number in range(1_000):
        backlog.add(A, number)
    assert take_all(backlog) == list(range(45))
    for number in range(1_000):
        backlog.add(B, number)
    assert len(take_all(backlog)) == 15
    for number in range(1_000):
        backlog.add(OTHER, number)
    assert len(take_all(backlog)) == 15
    assert backlog.running == 75


def test_many_slow_tenants_leave_a_place() -> None:
    backlog: Backlog[int] = Backlog(100)
    for number in range(50):
        for _ in range(100):
            backlog.add(Receiver(f"slow-{number}", "tarpit"), 0)
    take_all(backlog)
    assert backlog.running < 100
    backlog.add(OTHER, 7)
    assert take_all(backlog) == [7]


def test_tenants_and_their_receivers_take_turns() -> None:
    backlog: Backlog[int] = Backlog(30)
    for receiver, numbers in ((A, range(3)), (B, range(10, 13)), (OTHER, range(20, 23))):
        for number in numbers:
            backlog.add(receiver, number)
    assert take_all(backlog) == [0, 20, 10, 21, 1, 22, 11, 2, 12]


def test_every_place_is_used_by_enough_tenants() -> None:
    backlog: Backlog[int] = Backlog(5)
    for number in range(20):
        backlog.add(Receiver(str(number), "a"), number)
    assert take_all(backlog) == [0, 1, 2, 3, 4]
    backlog.end(Receiver("0", "a"))
    assert take_all(backlog) == [5]
    assert len(backlog) == 14


def test_a_single_place_is_usable() -> None:
    backlog: Backlog[int] = Backlog(1)
    backlog.add(A, 1)
    backlog.add(A, 2)
    assert take_all(backlog) == [1]
    backlog.end(A)
    assert take_all(backlog) == [2]


def test_a_job_that_waits_for_a_time_has_no_place() -> None:
    backlog: Backlog[int] = Backlog(4)
    backlog.add(A, 1, not_before=5.0)
    backlog.add(B, 2)
    assert take_all(backlog, 1.0) == [2]
    assert (backlog.next_time(), len(backlog)) == (5.0, 1)
    assert take_all(backlog, 5.0) == [1]
    assert backlog.next_time() is None


def test_a_receiver_has_a_rate_and_jobs_that_wait_for_it_have_no_place() -> None:
    backlog: Backlog[int] = Backlog(9, ReceiverLimits(rate=4.0))
    for number in range(3):
        backlog.add(A, number)
    backlog.add(B, 3)
    assert take_all(backlog, 1.0) == [0, 3]
    assert (backlog.running, len(backlog), backlog.next_time()) == (2, 2, 1.25)
    assert take_all(backlog, 1.24) == []
    assert take_all(backlog, 1.25) == [1]
    backlog.add(A, 4)
    assert take_all(backlog, 1.3) == []
    assert take_all(backlog, 9.0) == [2]
    assert take_all(backlog, 9.25) == [4]


def test_a_receiver_has_a_concurrency() -> None:
    backlog: Backlog[int] = Backlog(20, ReceiverLimits(concurrency=2))
    for number in range(4):
        backlog.add(A, number)
    backlog.add(B, 4)
    assert take_all(backlog) == [0, 4, 1]
    backlog.end(A)
    assert take_all(backlog) == [2]
