"""Gates and jobs of actions in memory."""
