"""`python -m goald.api` prints the OpenAPI document for docs/openapi.json (`make docs`)."""

from goald.api.app import all_routes
from goald.api.openapi import document_text

if __name__ == "__main__":
    print(document_text(all_routes()), end="")
