"""The reference model: rules E1 to E6 and E8 in plain Python.

Tests compare the native matcher with it. It is written from the rules only, imports nothing
from goald, keeps everything in memory and is not optimised.
"""

from tests.support.reference.model import Model
from tests.support.reference.records import Achievement, Enrollment, Exit, Goal, Outcome

__all__ = ["Achievement", "Enrollment", "Exit", "Goal", "Model", "Outcome"]
