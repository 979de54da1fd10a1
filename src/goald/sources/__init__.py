"""Sources: what a provider's webhook must carry to be trusted, and the events that it means.

Nothing here does I/O, reads a clock or blocks. `compiled.Source` is the entry: it checks the
signature of a `Delivery` (`schemes`), decodes its body (`bodies`) and evaluates the source's
document (`mapping`). A preset is a document that is shipped (`presets/*.yaml`).
"""
