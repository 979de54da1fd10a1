"""The ports: interfaces between goald and its servers, one module for each."""
