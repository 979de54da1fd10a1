"""The meaning of goald's words: ids, events, goals, enrollments, errors. No I/O."""
