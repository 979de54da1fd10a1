"""Requests about executions, which the shards of their contacts answer."""
