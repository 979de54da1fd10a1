"""Measurements. Each prints what it measured, on which machine, and how."""
