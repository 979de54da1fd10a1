"""Executions in a shard: gates, permits, the release of jobs, and timers."""
