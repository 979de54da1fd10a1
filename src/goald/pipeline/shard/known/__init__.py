"""Answers to the questions of an evaluation, about contacts and about ended enrollments."""
