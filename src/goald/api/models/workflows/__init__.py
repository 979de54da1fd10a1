"""Requests and responses for workflows: goals, definitions and executions."""
