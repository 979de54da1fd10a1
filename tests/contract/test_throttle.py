"""`ports.TenantThrottle`: which tenants' events the API refuses for a moment (D8)."""

from tests.contract.stream_backends import Backend

from goald.domain.ids import TenantId
from goald.ports.control.throttle import THROTTLE_SECONDS

ACME, GLOBEX = TenantId("acme"), TenantId("globex")


async def test_a_throttled_tenant_is_seen_by_other_processes(backend: Backend) -> None:
    await backend.throttle().throttle([ACME])
    assert await backend.throttle().throttled() == {ACME}


async def test_no_tenant_is_throttled_at_first(backend: Backend) -> None:
    throttle = backend.throttle()
    await throttle.throttle([])
    assert await throttle.throttled() == frozenset()


async def test_a_throttled_tenant_is_free_after_a_time(backend: Backend) -> None:
    throttle = backend.throttle()
    await throttle.throttle([ACME])
    await backend.pass_time(THROTTLE_SECONDS + 0.1)
    assert await throttle.throttled() == frozenset()


async def test_each_tenant_is_throttled_from_the_last_call_that_named_it(backend: Backend) -> None:
    """Several shards throttle tenants, each by its own deferred events."""
    shards = backend.throttle(), backend.throttle()
    await shards[0].throttle([ACME, GLOBEX])
    await backend.pass_time(THROTTLE_SECONDS * 0.7)
    await shards[1].throttle([GLOBEX])
    await backend.pass_time(THROTTLE_SECONDS * 0.4)
    assert await shards[0].throttled() == {GLOBEX}
