"""The executions of a slice, when their gates are closed and the slice can be committed."""

from collections.abc import Mapping, Set
from dataclasses import dataclass

from goald import _native
from goald.pipeline.executions.jobs import StartedJob
from goald.ports.actions.gates import GateState
from goald.ports.executions.change import ExecutionChange


@dataclass(frozen=True, slots=True)
class PreparedExecutions:
    """The rows of a slice, and what follows its commit."""

    proposed: _native.ExecutionProposal
    change: ExecutionChange
    jobs: Mapping[int, StartedJob]
    """The jobs to publish, by the index of their transition."""
    cancelled: Set[int]
    """The transitions that cancel an action which no worker has begun."""
    closed: Mapping[int, GateState]
    """The states before of the gates that were closed, by the index of their transition."""
    exits_in_flight: Mapping[int, bool]
    """By the effects with a transition: whether a worker may be calling the provider, because the
    gate was passed or lost."""
