"""Events that the API itself sends, so that the shard of a contact makes a change."""
