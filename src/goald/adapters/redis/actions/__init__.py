"""Gates and jobs of actions, and permits."""
