"""The Ray actors, the objects inside them, and their supervisor."""
