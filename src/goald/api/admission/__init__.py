"""Admission of events to the streams: Redis does not fill up, and the tenant with the most
unprocessed events is refused first (D8)."""
