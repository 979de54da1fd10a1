"""The order of parts at a shard: each stream's next, once (design 2, step 2)."""

import asyncio
import contextlib
from dataclasses import dataclass, field

from goald.domain.errors import LeaseLost, OutOfSequence
from goald.pipeline.shard_batch import ShardBatch

TURN_SECONDS = 0.5
"""How long a part that came early waits for those before it."""


@dataclass(slots=True)
class _Progress:
    epoch: int
    next: int
    in_flight: dict[int, asyncio.Future[None]] = field(default_factory=dict)


class Sequencer:
    """Admits the parts of every stream in order, and repeats of them without a second effect."""

    def __init__(self) -> None:
        self._streams: dict[str, _Progress] = {}
        self._early: dict[tuple[str, int, int], asyncio.Event] = {}

    async def turn(self, part: ShardBatch) -> None:
        """Return when a part may be admitted, or when it is plain that it may not.

        Calls under way together may reach the shard in another order than they were made: a
        part that came early waits a little for those before it.
        """
        progress = self._streams.get(part.stream)
        if progress is None or part.epoch > progress.epoch:
            early = part.sequence != part.floor
        else:
            early = part.epoch == progress.epoch and progress.next < part.sequence != part.floor
        if not early:
            return
        place = (part.stream, part.epoch, part.sequence)
        before = self._early.setdefault(place, asyncio.Event())
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(TURN_SECONDS):
                await before.wait()
        self._early.pop(place, None)

    def admit(self, part: ShardBatch) -> tuple[asyncio.Future[None], bool]:
        """The future of a part's completion, and whether it is to be processed now.

        A part admitted before is not processed again: its future is the first one's, or is
        done. Raises OutOfSequence for one that is not the next, LeaseLost for an epoch that
        a later one has replaced.
        """
        progress = self._streams.get(part.stream)
        if progress is not None and part.epoch < progress.epoch:
            raise LeaseLost(
                f"{part.stream} was handed over under epoch {part.epoch}, "
                f"but epoch {progress.epoch} has been heard"
            )
        if progress is None or part.epoch > progress.epoch:
            if part.sequence != part.floor:
                raise OutOfSequence(
                    f"{part.stream} begins at {part.floor} here, not at {part.sequence}"
                )
            progress = self._streams[part.stream] = _Progress(part.epoch, part.sequence)
        if progress.next < part.sequence == part.floor:
            # Its sender has cut what is not done anew, under numbers it never used: what this
            # shard took of it under the old ones comes again, after it.
            progress.next = part.sequence
        if part.sequence > progress.next:
            raise OutOfSequence(f"{part.stream} goes on at {progress.next}, not {part.sequence}")
        loop = asyncio.get_running_loop()
        if part.sequence < progress.next:
            done = progress.in_flight.get(part.sequence)
            if done is None:
                done = loop.create_future()
                done.set_result(None)
            return done, False
        future: asyncio.Future[None] = loop.create_future()
        progress.next += 1
        following = self._early.get((part.stream, part.epoch, progress.next))
        if following is not None:
            following.set()
        progress.in_flight[part.sequence] = future
        future.add_done_callback(lambda _: progress.in_flight.pop(part.sequence, None))
        return future, True
