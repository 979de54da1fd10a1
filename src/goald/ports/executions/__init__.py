"""Executions of workflows: the rows of a commit, and the reads of a shard."""
