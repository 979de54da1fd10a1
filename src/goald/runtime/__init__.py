"""Where goald becomes processes: actors, their supervisor, and the embedded services."""
