"""Executions as their tenant sees them."""
