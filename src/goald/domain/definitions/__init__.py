"""The definition of a workflow: its trigger and its steps, validated, compiled and compared."""
