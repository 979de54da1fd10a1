"""The API's HTTP server."""
