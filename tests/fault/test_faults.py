"""Every fault of the suite, with the rounds that `make test` has time for."""

import pytest
from tests.fault.harness.registry import Fault
from tests.fault.harness.rounds import EnvironmentPool, assert_safe_and_live, round_params


@pytest.mark.parametrize(
    ("fault", "number"),
    round_params(lambda fault: not fault.name.startswith("crash: ")),
)
def test_nothing_is_lost_or_done_twice(
    environments: EnvironmentPool, fault: Fault, number: int
) -> None:
    assert_safe_and_live(environments, fault, number)
