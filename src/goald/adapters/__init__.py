"""The ports, over real services and in memory."""
