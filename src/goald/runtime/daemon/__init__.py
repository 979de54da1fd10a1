"""What `goald serve` and `goald api` run, from the first check to the exit code."""
