"""The outbox of a range of slots, in Postgres."""

from collections.abc import Iterable, Sequence
from typing import Any

from goald.adapters.postgres.connection import Connection
from goald.adapters.postgres.identity import PostgresIdentity
from goald.adapters.postgres.shard import outbox_statements as statements
from goald.domain.leases import SlotLease
from goald.domain.streams import OutboundStream
from goald.ports.outbound import Message
from goald.ports.outbox import DatabaseIdentity, StoredMessage


class PostgresOutbox:
    """`ports.Outbox` over a connection that it shares."""

    def __init__(self, connection: Connection, server: PostgresIdentity) -> None:
        self._connection = connection
        self._server = server

    async def unpublished(self, lease: SlotLease, after: int = 0) -> list[StoredMessage]:
        async with self._connection.transaction(lease.slots) as connection:
            return _messages(
                await connection.fetch(
                    statements.UNPUBLISHED, lease.slots.first, lease.slots.last, after
                )
            )

    async def mark_published(self, lease: SlotLease, numbers: Sequence[int]) -> None:
        async with self._connection.transaction(lease.slots) as connection:
            await connection.execute(statements.MARK_PUBLISHED, numbers)

    async def delete_published(
        self, lease: SlotLease, older_than_s: float, waiting_s: float = 0.0
    ) -> int:
        async with self._connection.transaction(lease.slots) as connection:
            deleted: int = await connection.fetchval(
                statements.DELETE_PUBLISHED,
                older_than_s,
                lease.slots.first,
                lease.slots.last,
                waiting_s,
            )
        return deleted

    async def last_published(self, lease: SlotLease) -> int:
        async with self._connection.transaction(lease.slots) as connection:
            number: int = await connection.fetchval(
                statements.LAST_PUBLISHED, lease.slots.first, lease.slots.last
            )
        return number

    async def published(
        self, lease: SlotLease, since_us: int, until_us: int, after: int = 0
    ) -> list[StoredMessage]:
        async with self._connection.transaction(lease.slots) as connection:
            await connection.execute(statements.IN_ORDER_OF_NUMBERS)
            return _messages(
                await connection.fetch(
                    statements.PUBLISHED, lease.slots.first, lease.slots.last, after,
                    since_us, until_us,
                )
            )  # fmt: skip

    async def due_exits(
        self, lease: SlotLease, after_s: float, waiting_s: float
    ) -> list[StoredMessage]:
        while True:
            async with self._connection.transaction(lease.slots) as connection:
                rows = await connection.fetch(
                    statements.DUE_EXITS, lease.slots.first, lease.slots.last, after_s, waiting_s
                )
                done = [row["number"] for row in rows if not row["is_waiting"]]
                if done:
                    await connection.execute(statements.CLEAR_WAITING, done)
            if not done or len(done) < len(rows):
                return _messages(row for row in rows if row["is_waiting"])

    async def mark_republished(self, lease: SlotLease, numbers: Sequence[int]) -> None:
        async with self._connection.transaction(lease.slots) as connection:
            await connection.execute(statements.MARK_REPUBLISHED, numbers)

    async def database_identity(self) -> DatabaseIdentity:
        async with self._connection.use() as connection:
            return await self._server.recognise(connection)


def _messages(rows: Iterable[Any]) -> list[StoredMessage]:
    return [
        StoredMessage(row["number"], Message(OutboundStream(row["stream"]), row["payload"]))
        for row in rows
    ]
