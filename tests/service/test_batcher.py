"""The batcher answers every item exactly once, whatever happens to its neighbours."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from service.engine.batcher import Batcher, Closed, Overloaded


class Gate:
    """A `run` that waits until it is let through and records the batches that it saw."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.entered = threading.Semaphore(0)
        self.free = threading.Event()

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.entered.release()
        assert self.free.wait(10)
        if 13 in items:
            raise RuntimeError("unlucky")
        return [10 * item for item in items]


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.free.set()


def play(gate: Gate, scene: Callable[[Batcher[int, int]], Awaitable[None]], **limits: int) -> None:
    async def main() -> None:
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(
                gate, executor=executor, batch_limit=limits.get("batch", 8), queue_limit=limits.get("queue", 64)
            )
            try:
                await asyncio.wait_for(scene(batcher), 20)
            finally:
                gate.free.set()
                await batcher.close()

    asyncio.run(main())


async def entered(gate: Gate) -> None:
    await asyncio.to_thread(gate.entered.acquire)


def submit(batcher: Batcher[int, int], *items: int, weight: int = 1) -> list[asyncio.Task[int]]:
    return [asyncio.create_task(batcher.submit(item, weight)) for item in items]


def test_what_waits_while_the_runner_is_busy_goes_together(gate) -> None:
    async def scene(batcher: Batcher[int, int]) -> None:
        first = submit(batcher, 1)
        await entered(gate)
        rest = submit(batcher, 2, 3, 4)
        await asyncio.sleep(0)
        gate.free.set()

        assert [10, 20, 30, 40] == await asyncio.gather(*first, *rest)

    play(gate, scene)

    assert [[1], [2, 3, 4]] == gate.batches


def test_a_batch_never_exceeds_its_limit_but_a_heavier_item_goes_alone(gate) -> None:
    async def scene(batcher: Batcher[int, int]) -> None:
        gate.free.set()
        light, heavy = submit(batcher, 1, 2, 3, weight=2), submit(batcher, 4, weight=9)
        await asyncio.gather(*light, *heavy)

    play(gate, scene, batch=4)

    assert [[1, 2], [3], [4]] == gate.batches


def test_a_cancelled_caller_does_not_strand_its_batch(gate) -> None:
    async def scene(batcher: Batcher[int, int]) -> None:
        first = submit(batcher, 1)
        await entered(gate)
        cancelled, kept = submit(batcher, 2, 3)
        await asyncio.sleep(0)
        cancelled.cancel()
        first[0].cancel()
        gate.free.set()

        assert await kept == 30
        with pytest.raises(asyncio.CancelledError):
            await cancelled

    play(gate, scene)

    assert [[1], [3]] == gate.batches


def test_what_a_caller_that_gave_up_sent_is_not_kept(gate) -> None:
    class Rows:
        """Something that can be watched going."""

    async def scene(batcher: Batcher[Any, int]) -> None:
        busy = submit(batcher, 1)
        await entered(gate)
        rows = [Rows() for _ in range(50)]
        watched = [weakref.ref(each) for each in rows]
        waiting = [asyncio.create_task(batcher.submit(each, 1, priority=9)) for each in rows]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        await asyncio.wait(waiting)
        del rows, waiting, task
        # The loop lets go of what it handed over last.
        await asyncio.sleep(0)
        gc.collect()

        assert batcher.queued_weight == 0
        assert [each() for each in watched if each() is not None] == []
        gate.free.set()
        await asyncio.gather(*busy)

    play(gate, scene)


def test_a_failing_batch_fails_its_own_callers_and_the_next_one_is_served(gate) -> None:
    async def scene(batcher: Batcher[int, int]) -> None:
        gate.free.set()
        with pytest.raises(RuntimeError, match="unlucky"):
            await batcher.submit(13, 1)

        assert await batcher.submit(1, 1) == 10

    play(gate, scene)


def test_a_full_queue_refuses_at_once_and_takes_again_when_it_has_drained(gate) -> None:
    async def scene(batcher: Batcher[int, int]) -> None:
        first = submit(batcher, 1)
        await entered(gate)
        waiting = submit(batcher, 2, 3, weight=2)
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await batcher.submit(4, 1)
        gate.free.set()
        await asyncio.gather(*first, *waiting)

        assert await batcher.submit(5, 1) == 50
        assert batcher.queued_weight == 0

    play(gate, scene, queue=4)


def test_closing_answers_what_was_accepted_and_refuses_the_rest(gate) -> None:
    async def scene(batcher: Batcher[int, int]) -> None:
        accepted = submit(batcher, 1, 2)
        await asyncio.sleep(0)
        closing = asyncio.create_task(batcher.close())
        await asyncio.sleep(0)
        gate.free.set()
        with pytest.raises(Closed):
            await batcher.submit(3, 1)

        assert [10, 20] == await asyncio.gather(*accepted)
        await closing

    play(gate, scene)


def test_a_lower_priority_number_goes_first_and_of_equals_the_one_that_came_first(gate) -> None:
    async def scene(batcher: Batcher[int, int]) -> None:
        first = submit(batcher, 1)
        await entered(gate)
        ranked = ((2, 8), (3, 8), (4, 1), (5, 9))
        rest = [asyncio.create_task(batcher.submit(item, 1, priority)) for item, priority in ranked]
        await asyncio.sleep(0)
        gate.free.set()
        await asyncio.gather(*first, *rest)

    play(gate, scene, batch=2)

    assert gate.batches == [[1], [4, 2], [3, 5]]


def test_what_nobody_waits_for_any_more_keeps_no_other_out(gate) -> None:
    async def scene(batcher: Batcher[int, int]) -> None:
        first = submit(batcher, 1)
        await entered(gate)
        (given_up,) = submit(batcher, 2, weight=9)
        await asyncio.sleep(0)
        given_up.cancel()
        await asyncio.sleep(0)
        assert batcher.queued_weight == 0
        others = submit(batcher, 3, weight=8)
        await asyncio.sleep(0)
        gate.free.set()

        assert await others[0] == 30
        await asyncio.gather(*first)
        assert batcher.queued_weight == 0

    play(gate, scene, queue=10)

    assert gate.batches == [[1], [3]]


def test_what_is_quick_runs_on_the_loop_and_the_rest_beside_it(gate) -> None:
    threads: list[int] = []

    def run(items: Sequence[int]) -> list[int]:
        threads.append(threading.get_ident())
        return list(items)

    async def main() -> None:
        with ThreadPoolExecutor(1) as executor:
            batcher = Batcher(run, executor=executor, batch_limit=4, queue_limit=64, on_loop=lambda weight: weight <= 2)
            assert [await batcher.submit(1, 2), await batcher.submit(2, 3)] == [1, 2]
            await batcher.close()

    asyncio.run(main())

    assert threads[0] == threading.get_ident() != threads[1]
