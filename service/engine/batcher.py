"""Collect what waits and run it, off the event loop unless it is quick. Knows nothing of models or HTTP.

Natural batching: whatever waits when the runner is free goes together, up to a cap; nothing waits while the runner is
idle. Every submitted item is answered exactly once: with its result, with the batch's error, or by its caller's
cancellation.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import count
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Overloaded(Exception):
    """The queue is full; nothing was accepted."""


class Closed(Exception):
    """The batcher no longer takes items."""


@dataclass(slots=True)
class _Waiting(Generic[Item, Result]):
    item: Item
    weight: int
    future: asyncio.Future[Result]
    is_taken: bool = False


class Batcher(Generic[Item, Result]):
    """A bounded queue in front of `run`.

    Args:
        run: answers a batch, one result an item; called in `executor`, one batch at a time.
        on_loop: asked before each batch whether with so much weight `run` is so quick that it costs less on the event
            loop than the way to another thread and back; the loop stands still meanwhile.
        batch_limit: most weight in one batch; a heavier item goes alone.
        queue_limit: most weight that waits.
    """

    def __init__(
        self,
        run: Callable[[Sequence[Item]], Sequence[Result]],
        *,
        executor: Executor,
        batch_limit: int,
        queue_limit: int,
        on_loop: Callable[[int], bool] = lambda _weight: False,
    ) -> None:
        self._run = run
        self._executor = executor
        self._batch_limit = batch_limit
        self._queue_limit = queue_limit
        self._on_loop = on_loop
        # A heap by priority, then by arrival, which no two share.
        self._queue: list[tuple[int, int, _Waiting[Item, Result]]] = []
        self._arrivals = count()
        self._closing = False
        # While it is, what arrives waits for the end of the present run or for the turn that is about to come.
        self._is_busy = False
        self._idle: asyncio.Future[None] | None = None
        self.queued_weight = 0

    async def submit(self, item: Item, weight: int, priority: int = 0) -> Result:
        """Wait for this item's result. Cancelling the caller drops the item and does not disturb its neighbours.

        Args:
            priority: a lower number goes first; of equals the one that came first.

        Raises:
            Overloaded: at once, if the queue is full.
            Closed: at once, if the batcher is closing.
        """
        if self._closing:
            raise Closed
        if self.queued_weight and self.queued_weight + weight > self._queue_limit:
            raise Overloaded
        loop = asyncio.get_running_loop()
        waiting: _Waiting[Item, Result] = _Waiting(item, weight, loop.create_future())
        heappush(self._queue, (priority, next(self._arrivals), waiting))
        self.queued_weight += weight
        if not self._is_busy:
            # Not at once: others may arrive in this same turn of the loop.
            self._is_busy = True
            loop.call_soon(self._turn, loop)
        try:
            return await waiting.future
        finally:
            if not waiting.is_taken:
                # The caller gave up: what nobody waits for must neither keep others out nor be kept.
                self.queued_weight -= waiting.weight
                self._queue = [entry for entry in self._queue if entry[2] is not waiting]
                heapify(self._queue)

    async def close(self) -> None:
        """Take nothing new, answer what was accepted, then stop."""
        self._closing = True
        if self._is_busy:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run what waits, or rest until something arrives."""
        batch = self._take()
        if not batch:
            self._is_busy = False
            if self._idle is not None:
                self._idle.set_result(None)
            return
        items = [waiting.item for waiting in batch]
        try:
            if not self._on_loop(sum(waiting.weight for waiting in batch)):
                running = loop.run_in_executor(self._executor, self._run, items)
                running.add_done_callback(lambda done: self._ran(loop, batch, done))
                return
            _answer(batch, self._run(items))
        # The loop must survive whatever a batch does; its callers get the error.
        except Exception as error:  # noqa: BLE001
            _fail(batch, error)
        # The answers go out first, and what has arrived meanwhile goes with the next run.
        loop.call_soon(self._turn, loop)

    def _ran(
        self,
        loop: asyncio.AbstractEventLoop,
        batch: Sequence[_Waiting[Item, Result]],
        done: asyncio.Future[Sequence[Result]],
    ) -> None:
        try:
            _answer(batch, done.result())
        except Exception as error:  # noqa: BLE001  # as above
            _fail(batch, error)
        loop.call_soon(self._turn, loop)

    def _take(self) -> list[_Waiting[Item, Result]]:
        batch: list[_Waiting[Item, Result]] = []
        weight = 0
        while self._queue and (not batch or weight + self._queue[0][2].weight <= self._batch_limit):
            *_, waiting = heappop(self._queue)
            self.queued_weight -= waiting.weight
            waiting.is_taken = True
            if not waiting.future.done():
                batch.append(waiting)
                weight += waiting.weight
        return batch


def _answer(batch: Sequence[_Waiting[Item, Result]], results: Sequence[Result]) -> None:
    for waiting, result in zip(batch, results, strict=True):
        if not waiting.future.done():
            waiting.future.set_result(result)


def _fail(batch: Sequence[_Waiting[Item, Result]], error: Exception) -> None:
    for waiting in batch:
        if not waiting.future.done():
            waiting.future.set_exception(error)
