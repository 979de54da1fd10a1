"""Presets: the documents that are shipped, one file for each provider."""
