"""Provides the scenario fixture."""

from collections.abc import Iterator

import pytest
from tests.acceptance.scenario import Scenario
from tests.support.services.daemon import Daemon


@pytest.fixture
def scenario(daemon: Daemon, tenant: str) -> Iterator[Scenario]:
    with daemon.api.client(tenant, sub="editor-7") as client:
        yield Scenario(daemon, tenant, client)
