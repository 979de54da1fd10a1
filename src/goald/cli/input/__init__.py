"""The input of commands."""
