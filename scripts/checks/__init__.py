"""Checks of this repository's own rules: its vocabulary and its structure."""
