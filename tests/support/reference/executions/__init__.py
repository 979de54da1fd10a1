"""The rules of executions in plain Python. Slow and simple: the Rust state machine must agree."""

from tests.support.reference.executions.model import ExecutionModel
from tests.support.reference.executions.runs import Evaluated, Run, Workflow

__all__ = ["Evaluated", "ExecutionModel", "Run", "Workflow"]
