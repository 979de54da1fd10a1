"""The way of an event, as plain objects that know no Ray, Redis or Postgres.

`flow.py` tells the story; each step has a room of its own beside it.
"""
