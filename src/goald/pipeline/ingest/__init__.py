"""From an event stream to the shards: read, route, dispatch, acknowledge."""
