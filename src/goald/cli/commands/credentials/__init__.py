"""Commands for tokens, and for the secrets that are stored."""
