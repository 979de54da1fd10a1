"""The state of the transfers of merged contacts, in Redis for `goald status` (E21)."""

from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from goald.adapters.redis.connect import connect, service_errors
from goald.domain.records.transfers import PendingTransfers
from goald.redis_keys import TRANSFERS

NAMES = tuple(field.name for field in fields(PendingTransfers))


def decoded(values: Sequence[bytes | None]) -> PendingTransfers:
    """The state from the values of the fields NAMES of the hash."""
    numbers: list[Any] = [
        type(default)(value) if value is not None else default
        for value, default in zip(values, asdict(PendingTransfers()).values(), strict=True)
    ]
    return PendingTransfers(*numbers)


class RedisTransferReport:
    """`runtime.jobs.transfers.TransferReport`. Connects on first use."""

    def __init__(self, url: str) -> None:
        self._client = connect(url)

    async def write(self, pending: PendingTransfers) -> None:
        async with service_errors():
            await self._client.hset(TRANSFERS, mapping=asdict(pending))

    async def close(self) -> None:
        await self._client.aclose()
