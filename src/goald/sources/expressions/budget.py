"""The work that the expressions of one delivery may do."""

from typing import Any, Final

MAX_STEPS: Final = 200_000
"""Steps of all the expressions of one delivery; a step takes less than a microsecond."""


class BudgetExhausted(Exception):
    """The expressions of a source do too much work for one delivery."""


class Budget:
    """One for each delivery. Every node of an expression is a step, those in a projection for each
    element, and so is every 32 elements of a list and every 256 characters of text that a function
    takes or gives, so that the work is bounded for all expressions and bodies. Every method raises
    BudgetExhausted beyond MAX_STEPS."""

    __slots__ = ("_remaining",)

    def __init__(self, max_steps: int = MAX_STEPS) -> None:
        self._remaining = max_steps

    def charge(self, steps: int) -> None:
        self._remaining -= steps
        if self._remaining < 0:
            raise BudgetExhausted

    def charge_for(self, value: Any) -> None:
        """Charge for a value that is read or made as a whole."""
        if isinstance(value, str):
            self.charge(len(value) >> 8)
        elif isinstance(value, list):
            self.charge(len(value) >> 5)

    def equal(self, first: Any, second: Any) -> bool:
        """Whether two values are equal as JSON: 1 equals 1.0, and not true."""
        self.charge(1)
        if isinstance(first, str):
            self.charge(len(first) >> 8)
            return bool(first == second)
        if isinstance(first, list) and isinstance(second, list):
            return len(first) == len(second) and all(map(self.equal, first, second))
        if isinstance(first, dict) and isinstance(second, dict):
            return first.keys() == second.keys() and all(
                self.equal(each, second[name]) for name, each in first.items()
            )
        if isinstance(first, bool) or isinstance(second, bool):
            return first is second
        return bool(first == second)
