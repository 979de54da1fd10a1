"""The command line. Commands import their dependencies when they run, to start fast."""
