"""Routes of workflows, their goals and their definitions."""
