"""Actions of workflows: jobs, their gates and results."""
