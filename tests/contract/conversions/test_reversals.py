"""The contract of `ShardStore` for refunds and cancelled appointments, in memory and in Postgres:
each finds the enrollments that one payment or appointment completed (E13, E15)."""

import json
from typing import Any

from tests.contract.store_backends import Tables
from tests.support.pipeline.changes import NOON, SECOND, Effect, change

from goald.adapters.postgres.shard.commit import CommitOptions
from goald.domain.configuration.goals import GoalType
from goald.domain.derived_ids import derived_id
from goald.domain.slots import SlotRange
from goald.domain.streams import OutboundStream
from goald.ports.shard_store import ShardStore

ALL = SlotRange(0, 255)
LATER = NOON + 100 * SECOND


def bought(enrollment: str, second: int, event_id: str, **given: Any) -> Effect:
    """An enrollment that a payment completed."""
    types = given.pop("achieves", ["purchase_made"])
    return Effect(
        enrollment,
        **{
            "status": "completed_goal",
            "ended_at": NOON + second * SECOND,
            "achieved_at": NOON + second * SECOND,
            "met_goals": types,
            "achieves": types,
            "event_id": event_id,
            **given,
        },
    )


def refund(
    reference: str | None = None, at: int = LATER, contact: str = "ann"
) -> tuple[str, str, int, GoalType, str | None, int]:
    return "acme", contact, 3, "purchase_made", reference, at


async def refunded(tables: Tables) -> set[str]:
    return {id_ for id_, (at, _) in (await tables.undone()).items() if at is not None}


async def test_refund_marks_every_enrollment_that_the_newest_payment_completed(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    bob = bought("e-5", 20, "p-2", contact_id="bob")
    await store.commit(
        lease,
        change(
            bought("e-1", 10, "p-1"), bought("e-2", 20, "p-2"), bought("e-3", 20, "p-2"),
            bought("e-4", 30, "t-1", achieves=["tag_added"]), bob,
        ),
    )  # fmt: skip
    await store.commit(lease, change(reversals=[refund()]))
    assert await refunded(tables) == {"e-2", "e-3"}
    await store.commit(lease, change(reversals=[refund()]))  # read twice
    assert await refunded(tables) == {"e-2", "e-3"}
    assert (await tables.enrollments())["e-2"][1] == "completed_goal"


async def test_refund_names_its_payment(tables: Tables, store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    first = bought("e-1", 10, "p-1", event={"payment_id": "pay-1"})
    other = bought("e-2", 20, "p-2", event={"payment_id": "pay-2"})
    unnamed = bought("e-3", 15, "p-3")
    await store.commit(lease, change(first, other, unnamed, reversals=[refund("pay-1")]))
    assert await refunded(tables) == {"e-1"}
    await store.commit(lease, change(reversals=[refund("pay-9")]))
    assert await refunded(tables) == {"e-1", "e-3"}, "a payment without an id may be the one"


async def test_refund_finds_no_payment_that_came_later_or_completed_nothing(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    later = bought("e-1", 10, "p-1")
    active = bought("e-2", 5, "p-2", status="active", ended_at=None)
    reversals = [refund(at=NOON + 9 * SECOND), refund(contact="cleo")]
    await store.commit(lease, change(later, active, reversals=reversals))
    assert await refunded(tables) == set()


async def test_cancelled_appointment_is_counted_on_its_own(
    tables: Tables, store: ShardStore
) -> None:
    lease = await store.acquire(ALL, "a")
    booked = bought(
        "e-1", 10, "b-1", achieves=["appointment_booked"], event={"appointment_id": "app-1"}
    )
    await store.commit(lease, change(booked, bought("e-2", 20, "p-1")))
    cancelled = ("acme", "ann", 3, "appointment_booked", "app-1", LATER)
    await store.commit(lease, change(reversals=[cancelled]))  # type: ignore[list-item]
    assert await tables.undone() == {"e-1": (None, LATER), "e-2": (None, None)}
    assert await tables.payloads() == []


async def test_refund_is_published_once_as_a_notice_if_that_is_set(tables: Tables) -> None:
    store = tables.store(CommitOptions(publishes_refunds=True))
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(bought("e-1", 10, "p-1")))
    committed = await store.commit(lease, change(reversals=[refund()]))
    (stored,) = committed.outbox
    event = json.loads(stored.message.payload)
    assert stored.message.stream is OutboundStream.NOTICES
    assert event["type"] == "workflow.goal.refunded"
    assert event["id"] == str(derived_id("acme", "e-1", "workflow.goal.refunded"))
    assert event["data"] == {
        "workflow_id": "w-1", "contact_id": "ann", "enrollment_id": "e-1",
        "refunded_at": event["time"],
    }  # fmt: skip
    assert (await store.commit(lease, change(reversals=[refund()]))).outbox == []
    assert await tables.payloads() == [stored.message.payload]


async def test_refund_of_a_deleted_contact_finds_nothing(tables: Tables, store: ShardStore) -> None:
    lease = await store.acquire(ALL, "a")
    await store.commit(lease, change(bought("e-1", 10, "p-1")))
    await store.commit(lease, change(deletions=[("acme", "ann", 3, LATER)]))
    await store.commit(lease, change(reversals=[refund(at=LATER + SECOND)]))
    assert await refunded(tables) == set()


async def test_refund_finds_a_payment_after_the_deletion_of_an_earlier_contact(
    tables: Tables, store: ShardStore
) -> None:
    """Whether or not the earlier payment is erased yet."""
    lease = await store.acquire(ALL, "a")
    again = bought("e-2", 30, "p-2", enrolled_at=NOON + 20 * SECOND, event={"payment_id": "pay-2"})
    ahead = bought(
        "e-3",
        50,
        "p-3",
        enrolled_at=NOON + 40 * SECOND,
        received_at=NOON,
        event={"payment_id": "pay-3"},
    )
    await store.commit(lease, change(bought("e-1", 60, "p-1"), ahead))
    await store.commit(lease, change(deletions=[("acme", "ann", 3, NOON + 15 * SECOND)]))
    await store.commit(lease, change(again, reversals=[refund("pay-3")]))
    assert await refunded(tables) == set()
    await store.commit(lease, change(reversals=[refund()]))
    assert await refunded(tables) == {"e-2"}
