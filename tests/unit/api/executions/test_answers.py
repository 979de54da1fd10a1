"""Requests wait for the answers of shards, those of a tenant with one query at a time."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from goald.api.executions import answers
from goald.api.executions.answers import AnswerWaiter
from goald.domain.errors import ServiceUnavailable
from goald.domain.records.execution import RequestAnswer

STARTED = RequestAnswer("started", None)
PATIENCE_S = 10.0
SHORT_S = 0.05


class Answers:
    """The answers of shards, by tenant and request."""

    def __init__(self) -> None:
        self.given: dict[tuple[str, str], RequestAnswer] = {}
        self.queries: list[tuple[str, list[str]]] = []
        self.is_available = True

    async def read(self, tenant: str, requests: Sequence[str]) -> Mapping[str, RequestAnswer]:
        self.queries.append((tenant, list(requests)))
        if not self.is_available:
            raise ServiceUnavailable("Postgres does not answer")
        return {each: self.given[tenant, each] for each in requests if (tenant, each) in self.given}


async def test_requests_get_the_answers_of_their_tenant() -> None:
    stored = Answers()
    waiter = AnswerWaiter(stored.read)
    first, second = (
        asyncio.create_task(waiter.wait("acme", request, PATIENCE_S)) for request in ("r-1", "r-2")
    )
    other = asyncio.create_task(waiter.wait("other", "r-1", SHORT_S))
    assert await other is None
    assert ("acme", ["r-1", "r-2"]) in stored.queries
    stored.given["acme", "r-1"] = STARTED
    assert await first == STARTED
    stored.given["acme", "r-2"] = RequestAnswer("duplicate", None)
    assert await second == RequestAnswer("duplicate", None)
    # Nothing is read while no request waits.
    await asyncio.sleep(5 * answers.POLL_S)
    count = len(stored.queries)
    await asyncio.sleep(5 * answers.POLL_S)
    assert len(stored.queries) == count
    assert await waiter.wait("acme", "r-1", PATIENCE_S) == STARTED


async def test_a_request_fails_if_answers_cannot_be_read() -> None:
    stored = Answers()
    stored.is_available = False
    waiter = AnswerWaiter(stored.read)
    with pytest.raises(ServiceUnavailable):
        await waiter.wait("acme", "r-1", PATIENCE_S)
    stored.is_available = True
    stored.given["acme", "r-1"] = STARTED
    assert await waiter.wait("acme", "r-1", PATIENCE_S) == STARTED


async def test_requests_of_one_tenant_beyond_the_limit_do_not_wait(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(answers, "MAX_WAITING", 1)
    stored = Answers()
    waiter = AnswerWaiter(stored.read)
    first = asyncio.create_task(waiter.wait("acme", "r-1", PATIENCE_S))
    await asyncio.sleep(0)
    stored.given["acme", "r-2"] = stored.given["other", "r-1"] = STARTED
    assert await waiter.wait("acme", "r-2", PATIENCE_S) is None
    assert await waiter.wait("other", "r-1", PATIENCE_S) == STARTED
    stored.given["acme", "r-1"] = STARTED
    assert await first == STARTED
