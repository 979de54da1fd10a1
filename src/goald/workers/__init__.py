"""Workers: they receive jobs, pass gates, call providers and report results."""
