"""The verdict on a run of races as the result of a round."""

from tests.fault.executions.oracle import Verdict
from tests.fault.harness.registry import Round


def round_of(verdict: Verdict, idle_s: float | None) -> Round:
    """The errors in the columns of the table: executions that did not end are lost, and all errors
    but the lost and the doubled are unjustified."""
    found = {name: len(errors) for name, errors in verdict.errors.items()}
    lost = found.pop("lost", 0) + found.pop("not_ended", 0)
    doubled = found.pop("doubled", 0)
    return Round(
        lost=lost,
        doubled=doubled,
        unjustified=sum(found.values()),
        recovery_s=idle_s,
        idle_s=idle_s,
        note=str(verdict),
        exits=verdict.exits,
    )
