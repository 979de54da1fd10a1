"""Rows of the tables in memory."""
