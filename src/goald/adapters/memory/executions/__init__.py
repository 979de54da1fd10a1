"""Executions of workflows, over the tables in memory."""
