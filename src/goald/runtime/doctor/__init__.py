"""The checks of `goald doctor`."""
