"""The choice of adapters: no other package of `goald.runtime` imports `goald.adapters`."""
