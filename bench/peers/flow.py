"""Runs the flow of the benchmark on another product, in a process of its environment.

    python -m bench.peers.PRODUCT DSN FILE --first N --count N [--rate N] [--flow full|timer]

The flow is: trigger, an action that does nothing, a wait of one second, such an action, end.
`timer` has no action before the wait. The process prints "ready", reads a line, triggers its
executions, and works until its standard input ends. Imports only the standard library.
"""

import argparse
import asyncio
import contextlib
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from bench.peers.calls import TRIGGERED, CallRecorder

WAIT_S = 1.0
BURST = 100
_PAUSE_S = 0.005


class Product(Protocol):
    """A product that runs the flow. All of its work is done in the event loop or in its threads."""

    async def start(self) -> None:
        """Connect, and begin to work."""

    async def trigger(self, executions: Sequence[int]) -> None:
        """Start these executions, in the fastest durable way that the product has."""

    async def stop(self) -> None:
        """Stop working. Executions may be unfinished."""


Make = Callable[[argparse.Namespace, CallRecorder], Product]


async def _trigger(product: Product, options: argparse.Namespace, calls: CallRecorder) -> None:
    began, sent = time.monotonic(), 0
    while sent < options.count:
        due = options.count
        if options.rate:
            due = min(due, int((time.monotonic() - began) * options.rate))
        numbers = range(options.first + sent, options.first + min(due, sent + BURST))
        if not numbers:
            await asyncio.sleep(_PAUSE_S)
            continue
        for number in numbers:
            calls.record(number, TRIGGERED)
        await product.trigger(numbers)
        sent += len(numbers)


async def _run(make: Make, options: argparse.Namespace) -> None:
    calls = CallRecorder(Path(options.file))
    product = make(options, calls)
    await product.start()
    writing = asyncio.create_task(calls.run())
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    triggering = asyncio.create_task(_trigger(product, options, calls))
    await asyncio.to_thread(sys.stdin.read)
    for task in (triggering, writing):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    calls.flush()
    await product.stop()


def main(make: Make) -> None:
    """Run the product that `make` returns. Blocks until standard input ends."""
    parser = argparse.ArgumentParser()
    parser.add_argument("dsn")
    parser.add_argument("file")
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument(
        "--rate", type=float, default=0, help="triggers per second; 0: all together"
    )
    parser.add_argument("--flow", choices=("full", "timer"), default="full")
    asyncio.run(_run(make, parser.parse_args()))
