"""A scenario to tell, for each test."""

import pytest
from tests.acceptance.scenario import Scenario
from tests.support.daemon import Daemon


@pytest.fixture
def scenario(daemon: Daemon, tenant: str) -> Scenario:
    return Scenario(daemon, tenant)
