"""An actor whose work fails ends its process, so that Ray restarts it."""

import subprocess
import sys

PANIC = """
import asyncio
from goald.runtime.actors import ray_actors as actors

class Panic(BaseException):
    "Like PanicException of PyO3, not an Exception."

async def work():
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(fail())
        await asyncio.Event().wait()

async def fail():
    raise Panic

async def main():
    actors.RESTART_SECONDS = 0
    actors.RunningWork(work(), "shard-0")
    await asyncio.sleep(60)

asyncio.run(main())
"""


def test_a_panic_of_the_native_matcher_ends_the_process() -> None:
    """A process that lived on would keep its slots without processing their events (D4)."""
    ended = subprocess.run(
        [sys.executable, "-c", PANIC], capture_output=True, timeout=50, check=False
    )
    assert ended.returncode == 1, ended.stderr.decode()
