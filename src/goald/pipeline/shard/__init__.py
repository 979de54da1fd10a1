"""Inside a shard: admit, evaluate, commit, apply."""
