"""Mapping: what a delivery means, as a document of JMESPath expressions."""
