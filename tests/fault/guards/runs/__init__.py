"""Guards of enrollments that events count for: not twice, not while paused, and after the end."""
