"""Source documents: their fields, their validation, and overrides of a preset."""
