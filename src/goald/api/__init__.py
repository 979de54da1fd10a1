"""The HTTP API for editors, analysts and event producers. It knows no adapter: it is given
`dependencies.Dependencies`."""
