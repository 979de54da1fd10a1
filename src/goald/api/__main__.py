"""`python -m goald.api` prints the OpenAPI document, for docs/openapi.json (`make docs`)."""

from goald.api.app import all_routes
from goald.api.openapi import text

if __name__ == "__main__":
    print(text(all_routes()), end="")
