"""Enrollments that have ended, over the tables in memory."""
