"""Heartbeats of all processes, and the metrics that travel with them."""
