"""The hash chains of the audit log and their verification."""
