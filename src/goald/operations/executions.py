"""Requests about executions from the command line: sent to the streams, answered by shards."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from goald.client import Publisher, event
from goald.domain.records.execution import RequestAnswer
from goald.domain.records.execution_requests import ANSWER_SECONDS, ExecutionRequest

SOURCE: Final = "goald/cli"
POLL_SECONDS: Final = 0.02


class AnswerReader(Protocol):
    async def answers(self, tenant: str, requests: Sequence[str]) -> Mapping[str, RequestAnswer]:
        """Return the answers to requests, by the ids of their events."""


class RequestSender:
    """Sends one request and waits for its answer."""

    def __init__(self, publisher: Publisher, reader: AnswerReader) -> None:
        self._publisher = publisher
        self._reader = reader

    async def send(self, tenant: str, request: ExecutionRequest) -> RequestAnswer | None:
        """Return the answer of the shard; None if there is none within ANSWER_SECONDS. The request
        is then on the stream of its contact. Raises ServiceUnavailable."""
        data = dict(request.data)
        contact = data.pop("contact_id")
        sent = event(request.type, tenant, contact, data, id=request.id, source=SOURCE)
        async with self._publisher:
            await self._publisher.publish(sent)
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while True:
                    found = await self._reader.answers(tenant, [request.id])
                    if request.id in found:
                        return found[request.id]
                    await asyncio.sleep(POLL_SECONDS)
        except TimeoutError:
            return None
