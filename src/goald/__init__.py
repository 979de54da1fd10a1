"""goald takes contacts out of a marketing workflow the moment they have reached its goal."""
