"""HTTP concerns that all routes share."""
