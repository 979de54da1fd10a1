"""Inbound event streams."""
