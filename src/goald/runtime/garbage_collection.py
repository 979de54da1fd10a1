"""How often Python searches for unused objects that refer to each other."""

import gc


def collect_garbage_rarely(allocations: int) -> None:
    """Exclude all present objects from garbage collection, and let it run when this many more
    objects were allocated than freed. Call it once in a process, when it has loaded its modules and
    before it begins to serve: these objects stay until its end, and every full collection would
    read all of them."""
    gc.freeze()
    gc.set_threshold(allocations, 20, 20)
