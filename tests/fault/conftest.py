"""Fixtures of the fault tests."""

from collections.abc import Iterator

import pytest
from tests.fault.harness.rounds import EnvironmentPool


@pytest.fixture(scope="module")
def environments() -> Iterator[EnvironmentPool]:
    """One environment at a time, shared by the rounds that need the same."""
    with EnvironmentPool() as environments:
        yield environments
