"""Races of exits against calls that are due, with faults all the while, and the oracle of
actions."""
