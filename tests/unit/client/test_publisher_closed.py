"""A producer that waits gets an error when its publisher is closed."""

import asyncio
from pathlib import Path

import pytest

from goald.client import Publisher
from goald.domain.errors import ServiceUnavailable


async def test_closing_a_publisher_ends_the_wait_for_buffer_space(
    tmp_path: Path,
) -> None:
    publisher = Publisher(f"unix://{tmp_path}/missing", buffer_events=1)
    for _ in range(2):  # one in the batch that is tried, one in the buffer
        await publisher.publish_encoded("acme", "ann", b"{}")
        await asyncio.sleep(0)
    waiting = asyncio.ensure_future(publisher.publish_encoded("acme", "ann", b"{}"))
    await asyncio.sleep(0)
    assert not waiting.done()
    with pytest.raises(ServiceUnavailable, match="2 events were not sent"):
        await publisher.aclose(patience_s=0)
    async with asyncio.timeout(20):
        with pytest.raises(ServiceUnavailable, match="closed"):
            await waiting
