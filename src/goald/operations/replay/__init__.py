"""Sends the events of a file."""
