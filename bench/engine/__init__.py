"""Figures of the workflow engine, next to other products."""
