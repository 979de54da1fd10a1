"""`goald serve` and `goald api`, from the first check to the exit code."""
