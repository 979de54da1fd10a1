"""goald's domain model: ids, events, goals, enrollments, errors. No I/O."""
