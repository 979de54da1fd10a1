"""The API process of `goald serve`: its supervisor in the driver, and its program."""
