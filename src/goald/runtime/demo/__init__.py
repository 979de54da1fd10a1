"""The demo tenant and its traffic."""
