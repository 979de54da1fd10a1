"""A crash at each named step between two effects loses nothing and does nothing twice."""

import pytest
from tests.fault.harness.played import Stages, assert_went_well, rounds
from tests.fault.harness.registry import Fault
from tests.fault.harness.stage import plain_stage


@pytest.mark.parametrize(("fault", "number"), rounds(lambda fault: fault.stage is plain_stage))
def test_nothing_is_lost_or_done_twice(stages: Stages, fault: Fault, number: int) -> None:
    assert_went_well(stages, fault, number)
