"""The settings of goald for executions."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionRules:
    """The settings of goald for executions. Those of a tenant take precedence."""

    retry_base: float = 60.0
    """Seconds before the first retry (GOALD_RETRY_BASE_SECONDS)."""
    requires_opt_in: bool = False
    """Whether contacts that no event has described start nothing (GOALD_REQUIRE_OPT_IN, X12)."""
    failed_keep: float = 30 * 86_400.0
    """Seconds for which failed executions can be retried (GOALD_FAILED_KEEP)."""
    concurrent_executions: int = 100
    """The executions of a tenant that may be ACTIVE (X8)."""

    @property
    def options(self) -> dict[str, object]:
        """As `_native.Matcher.evaluate` takes them."""
        return {
            "keep_failed_ms": round(self.failed_keep * 1_000),
            "requires_opt_in": self.requires_opt_in,
        }
