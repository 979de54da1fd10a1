"""Other products on which `bench.engine` runs the same flow."""
