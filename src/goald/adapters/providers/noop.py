"""Nothing, successfully: for tests and benches."""

from collections.abc import Mapping
from typing import Any

from goald.domain.actions.job import Job
from goald.domain.actions.outcomes import SUCCESS
from goald.workers.provider import Enter, Performed


class NoopProvider:
    """A `Provider` that calls nothing."""

    @property
    def is_keyed(self) -> bool:
        return True

    async def perform(self, job: Job, config: Mapping[str, Any], enter: Enter) -> Performed:
        await enter()
        return Performed(SUCCESS)

    async def close(self) -> None:
        """There is nothing to close."""
