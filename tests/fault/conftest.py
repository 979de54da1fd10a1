"""What the tests of faults share."""

from collections.abc import Iterator

import pytest
from tests.fault.harness.played import Stages


@pytest.fixture(scope="module")
def stages() -> Iterator[Stages]:
    """The stage that is up; one at a time."""
    with Stages() as stages:
        yield stages
