"""The audit log: its hash chains and their verification."""
