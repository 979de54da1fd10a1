"""Listeners: goals that watch the active enrollments of a workflow."""

from collections.abc import Sequence
from dataclasses import dataclass

from goald.domain.configuration.goals import GoalType
from goald.domain.ids import GoalId


@dataclass(frozen=True, slots=True)
class ListenerStatus:
    """The goals that watch a workflow and the number of shards that have loaded its configuration
    (E10), read in one snapshot. An inactive workflow has no listening goals."""

    is_active: bool
    goals: Sequence[tuple[GoalId, GoalType]]
    """Id and type of each goal that listens, by position."""
    enrollments: int
    """Active enrollments."""
    version: int
    """The version of the configuration; 0 if the workflow is not configured."""
    ready: int
    """Live shards that have loaded this version."""
    live: int
    """Live shards."""
