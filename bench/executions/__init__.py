"""The state machine of executions: memory per sleeping execution, CPU time per transition."""
