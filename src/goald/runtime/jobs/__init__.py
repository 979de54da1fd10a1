"""Periodic jobs of the daemon."""
