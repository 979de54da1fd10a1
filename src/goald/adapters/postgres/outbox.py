"""The outbox of a range of slots, in Postgres."""

from collections.abc import Sequence

from goald.adapters.postgres import outbox_statements as statements
from goald.adapters.postgres.connection import Connection
from goald.domain.leases import SlotLease
from goald.ports import Message, StoredMessage


class PostgresOutbox:
    """`ports.Outbox` over a connection that others use too."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def unpublished(self, lease: SlotLease) -> list[StoredMessage]:
        async with self._connection.transaction(lease.slots) as connection:
            rows = await connection.fetch(
                statements.UNPUBLISHED, lease.slots.first, lease.slots.last
            )
        return [StoredMessage(number, Message(stream, text)) for number, stream, text in rows]

    async def mark_published(self, lease: SlotLease, numbers: Sequence[int]) -> None:
        async with self._connection.transaction(lease.slots) as connection:
            await connection.execute(statements.MARK_PUBLISHED, numbers)

    async def forget_published(self, lease: SlotLease, older_than_s: float) -> int:
        async with self._connection.transaction(lease.slots) as connection:
            gone: int = await connection.fetchval(
                statements.FORGET_PUBLISHED,
                older_than_s,
                lease.slots.first,
                lease.slots.last,
            )
        return gone
