"""The worker processes of `goald serve`: their supervisor in the driver, and their program."""
