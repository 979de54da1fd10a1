"""The dead-letter stream."""
