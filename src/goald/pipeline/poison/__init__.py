"""Poison events: what goald does with an event that a process or Postgres cannot handle (D4)."""
