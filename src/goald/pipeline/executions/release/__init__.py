"""Which due steps become jobs, and when (X16)."""
