"""The account of what one API process has sent."""

from hypothesis import given
from hypothesis import strategies as st

from goald.api.admission.ledger import SentBytes, SentLedger
from goald.ports.stream_admin import StreamLevel, StreamLevels

SECOND = 1_000_000


def test_bytes_count_until_their_second_has_been_acknowledged() -> None:
    sent = SentBytes()
    sent.add(10 * SECOND, 100)
    sent.add(10 * SECOND + 900_000, 50)
    sent.add(12 * SECOND, 7)
    sent.forget(10 * SECOND + 950_000)
    assert sent.total == 157, "the last event of that second may not be acknowledged"
    sent.forget(11 * SECOND)
    assert sent.total == 7


@given(
    st.lists(st.tuples(st.integers(0, 5_000), st.integers(1, 1_000)), max_size=300),
    st.integers(0, 5_000),
)
def test_nothing_unacknowledged_is_ever_forgotten(
    sent: list[tuple[int, int]], before_s: int
) -> None:
    """For any number of periods, which are merged to bound the memory."""
    account = SentBytes()
    for second, size in sorted(sent):
        account.add(second * SECOND, size)
    assert account.total == sum(size for _, size in sent)
    account.forget(before_s * SECOND)
    assert account.total >= sum(size for second, size in sent if second >= before_s)
    account.forget(6_000 * SECOND)
    assert account.total == 0


def test_merged_periods_count_until_the_later_one_has_been_acknowledged() -> None:
    sent = SentBytes()
    for second in range(500):
        sent.add(second * SECOND, 1)
    for acknowledged in range(500):
        sent.forget(acknowledged * SECOND)
        assert sent.total >= 500 - acknowledged


def levels(*events: tuple[int, int], at_s: int = 20) -> StreamLevels:
    """Of streams with these times in seconds: of the oldest entry, and of the acknowledgement."""
    found = [
        StreamLevel(f"goald:events:{number}", 0, oldest * SECOND, acknowledged * SECOND)
        for number, (oldest, acknowledged) in enumerate(events)
    ]
    return StreamLevels(at_s * SECOND, found, [], StreamLevel("goald:dead", 0, 0, 0), 0, None)


def test_tenants_and_streams_are_counted_apart() -> None:
    ledger = SentLedger()
    ledger.add("flood", 0, SECOND, 1_000)
    ledger.add("calm", 0, 5 * SECOND, 10)
    ledger.add("flood", 1, SECOND, 30)
    assert (ledger.unprocessed("flood", 0), ledger.unprocessed("calm", 0)) == (1_000, 10)
    assert (ledger.sent(0), ledger.sent(1)) == (1_010, 30)
    ledger.forget(levels((0, 4), (0, 0)))
    assert (ledger.unprocessed("flood", 0), ledger.unprocessed("flood", 1)) == (0, 30)
    assert ledger.sent(0) == 1_010, "acknowledged events stay in the stream until it is trimmed"
    ledger.forget(levels((4, 4), (0, 0)))
    assert ledger.sent(0) == 10


def test_everything_is_forgotten_once_goald_has_caught_up() -> None:
    ledger = SentLedger()
    ledger.add("flood", 0, 20 * SECOND, 1_000)
    ledger.forget(levels((20, 20)))
    assert (ledger.unprocessed("flood", 0), ledger.sent(0)) == (0, 0)


def test_events_of_a_stream_that_is_not_read_any_more_are_forgotten() -> None:
    ledger = SentLedger()
    ledger.add("flood", 3, 19 * SECOND, 1_000)
    ledger.forget(levels((0, 0)))
    assert ledger.unprocessed("flood", 3) == 0
