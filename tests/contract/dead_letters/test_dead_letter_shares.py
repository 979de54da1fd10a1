"""`ports.Outbound`: tenants share the bound of the dead letters (D5, D8)."""

import json
from collections import Counter

import msgpack
import pytest
from tests.contract.stream_backends import Backend

from goald.ports.outbound import DeadLetter
from goald.redis_keys import DEAD

BOUND = 1 << 20
UNREADABLE = b"\xff"


def dead_letters(tenant: str | None, first: int, count: int, size: int = 2_000) -> list[DeadLetter]:
    """Dead letters of one tenant, numbered; with an unreadable event if it is None."""
    return [
        DeadLetter("goald:events:0", b"7-%d" % n, event(tenant, n, size), "bad", 1)
        for n in range(first, first + count)
    ]


def event(tenant: str | None, number: int, size: int) -> bytes:
    if tenant is None:
        return UNREADABLE * size
    content = {"tenantid": tenant, "data": {"text": "x" * size}}
    # Tenants are read from both formats.
    return json.dumps(content).encode() if number % 2 else bytes(msgpack.packb(content))


async def kept(backend: Backend) -> dict[str, list[int]]:
    """The numbers of the dead letters, by tenant, in their order."""
    found: dict[str, list[int]] = {}
    for _, fields in await backend.entries(DEAD):
        number = int(fields[b"id"].removeprefix(b"7-"))
        found.setdefault(fields[b"tenant"].decode(), []).append(number)
    return found


async def test_a_flood_of_one_tenant_removes_only_its_own_oldest_dead_letters(
    backend: Backend,
) -> None:
    outbound = backend.outbound(dead_max_bytes=BOUND)
    await outbound.dead_letter(dead_letters("first", 0, 100))
    await outbound.dead_letter(dead_letters("second", 0, 3))
    for start in range(0, 3_000, 100):
        await outbound.dead_letter(dead_letters("flood", start, 100))
    remaining = await kept(backend)
    assert (remaining["first"], remaining["second"]) == (list(range(100)), [0, 1, 2])
    assert remaining["flood"] == list(range(3_000 - len(remaining["flood"]), 3_000))
    assert 200 < len(remaining["flood"]) < 450


async def test_tenants_that_have_more_than_the_mean_are_reduced_to_the_same_share(
    backend: Backend,
) -> None:
    outbound = backend.outbound(dead_max_bytes=BOUND)
    await outbound.dead_letter(dead_letters("small", 0, 50))
    for start in range(0, 1_000, 50):
        await outbound.dead_letter(dead_letters("large", start, 50))
        await outbound.dead_letter(dead_letters("larger", 2 * start, 100))
    remaining = {tenant: len(numbers) for tenant, numbers in (await kept(backend)).items()}
    assert remaining["small"] == 50
    assert abs(remaining["large"] - remaining["larger"]) <= 100


async def test_dead_letters_without_a_readable_tenant_share_as_one_tenant(
    backend: Backend,
) -> None:
    outbound = backend.outbound(dead_max_bytes=BOUND)
    await outbound.dead_letter(dead_letters("acme", 0, 200))
    for start in range(0, 2_000, 100):
        await outbound.dead_letter(dead_letters(None, start, 100))
    remaining = await kept(backend)
    assert remaining["acme"] == list(range(200))
    assert remaining[""] == list(range(2_000 - len(remaining[""]), 2_000))
    for start in range(0, 2_000, 100):
        await outbound.dead_letter(dead_letters("acme", 200 + start, 100))
    assert (await kept(backend))[""][-150:] == list(range(1_850, 2_000))


@pytest.mark.parametrize("tenant", [b"\xff", b"", b"a\x00b", b"t" * 257])
async def test_a_tenant_that_is_no_id_counts_as_unreadable(backend: Backend, tenant: bytes) -> None:
    invalid = msgpack.packb({"tenantid": tenant.decode("latin-1")}).replace(
        tenant.decode("latin-1").encode(), tenant
    )
    await backend.outbound().dead_letter(
        [DeadLetter("goald:events:0", b"7-0", bytes(invalid), "bad", 1)]
    )
    assert list(await kept(backend)) == [""]


async def test_small_dead_letters_of_many_tenants_keep_their_shares(backend: Backend) -> None:
    outbound = backend.outbound(dead_max_bytes=BOUND)
    for n in range(300):
        await outbound.dead_letter(
            [*dead_letters(f"t{n % 20}", n, 1, 20), *dead_letters("flood", 40 * n, 40, 20)]
        )
    remaining = await kept(backend)
    flood = remaining.pop("flood")
    assert Counter(map(len, remaining.values())) == {15: 20}
    assert flood == list(range(12_000 - len(flood), 12_000))
