"""Mapping expressions: JMESPath with exact numbers and bounded work."""
