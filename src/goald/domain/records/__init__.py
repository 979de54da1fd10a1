"""Records that users read: enrollments, achievements, exits, listeners and statistics."""
