"""Heartbeats of all processes, and the metrics that they carry."""
