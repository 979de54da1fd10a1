"""A consumer that waits for events stops immediately."""

import pytest
from tests.support.pipeline.in_memory_pipeline import InMemoryPipeline

from goald.pipeline.ingest import marks


async def test_stop_does_not_wait_for_new_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "PROBE_SECONDS", 3_600.0)
    pipeline = InMemoryPipeline()
    pipeline.configure()
    async with pipeline.running():
        await pipeline.enroll()
        await pipeline.all_acknowledged()
    assert pipeline.status() == "active"
