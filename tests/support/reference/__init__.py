"""The reference model: rules E1 to E6 and E8 of the design in the plainest Python.

It is the oracle that the Rust engine is held against. It was written from the design
alone, imports nothing of goald, keeps everything in memory and cares for no speed.
"""

from tests.support.reference.model import Achievement, Enrollment, Exit, Goal, Model, Outcome

__all__ = ["Achievement", "Enrollment", "Exit", "Goal", "Model", "Outcome"]
