"""Slots: the 256 fixed partitions of (tenant, contact), and ranges of them."""

import itertools
import zlib
from dataclasses import dataclass

SLOTS = 256


@dataclass(frozen=True, slots=True)
class SlotRange:
    """The slots from `first` to `last`, both inclusive."""

    first: int
    last: int

    def __post_init__(self) -> None:
        if not 0 <= self.first <= self.last < SLOTS:
            raise ValueError(f"slots {self.first} to {self.last} are not within 0 to {SLOTS - 1}")

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


def slot_of(tenant_id: str, contact_id: str) -> int:
    """The slot of a contact: CRC-32 of tenant, 0x1F and contact in UTF-8, modulo 256.

    Raises UnicodeEncodeError for a lone surrogate, which no id may contain (D9).
    """
    return zlib.crc32(f"{tenant_id}\x1f{contact_id}".encode()) % SLOTS


def split_slots(shards: int) -> list[SlotRange]:
    """Divide all slots into `shards` ranges whose sizes differ by at most one.

    Raises ValueError unless 1 <= shards <= 256.
    """
    if not 1 <= shards <= SLOTS:
        raise ValueError(f"{shards} shards: there can be 1 to {SLOTS}")
    bounds = [SLOTS * i // shards for i in range(shards + 1)]
    return [SlotRange(low, high - 1) for low, high in itertools.pairwise(bounds)]


def shard_of_slot(ranges: list[SlotRange]) -> bytes:
    """For each slot the index of its range, as 256 bytes."""
    table = bytearray(SLOTS)
    for index, slots in enumerate(ranges):
        table[slots.first : slots.last + 1] = bytes([index]) * (slots.last - slots.first + 1)
    return bytes(table)
