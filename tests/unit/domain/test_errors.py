"""Errors travel between processes: each is the same on the other side."""

import pickle

import pytest

from goald.domain import errors

EVERY = [
    item
    for item in vars(errors).values()
    if isinstance(item, type)
    and issubclass(item, errors.GoaldError)
    and item is not errors.OverdueSteps  # it has no other text than its own
]


@pytest.mark.parametrize("kind", EVERY)
def test_error_survives_pickling(kind: type[errors.GoaldError]) -> None:
    found = pickle.loads(pickle.dumps(kind("what happened")))  # noqa: S301 -- bytes of this test
    assert (type(found), str(found)) == (kind, "what happened")


def test_overdue_steps_survive_pickling() -> None:
    error = errors.OverdueSteps("trial", 3)
    found = pickle.loads(pickle.dumps(error))  # noqa: S301 -- bytes of this test
    assert (str(found), found.workflow_id, found.count) == (str(error), "trial", 3)


def test_faults_of_a_configuration_survive_pickling() -> None:
    faults = [("/criteria/tag_id", "must be text")]
    error = errors.InvalidConfiguration("wrong", faults)
    found = pickle.loads(pickle.dumps(error))  # noqa: S301 -- bytes of this test
    assert (str(found), found.faults) == ("wrong", tuple(faults))
