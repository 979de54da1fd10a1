"""Events that workflows missed while they were paused (E19)."""
