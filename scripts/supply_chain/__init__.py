"""The packages that goald is built from: vulnerabilities, licenses, bills of materials."""
