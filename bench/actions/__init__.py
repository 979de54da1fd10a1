"""Measurements of the actions of workflows."""
