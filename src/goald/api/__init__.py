"""The HTTP API (3.4): what editors, analysts and providers call. Knows no adapter: it is
given what `parts.Parts` lists."""
