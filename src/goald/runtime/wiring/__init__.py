"""The choice of adapters behind the ports."""
