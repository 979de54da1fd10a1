"""Actions of workflows: gates, jobs and permits, shared by shards and workers."""
