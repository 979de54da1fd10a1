"""The erasure of personal data, over the tables in memory."""
