"""The work of a shard and of a consumer, as plain objects that run without Ray."""
