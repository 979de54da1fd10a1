"""The projection of contacts: what events say about a contact."""
