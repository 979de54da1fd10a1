"""Merged contacts (E21), in memory."""
