"""Merged contacts (E21), in Postgres."""
