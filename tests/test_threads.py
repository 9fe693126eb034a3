"""How a coroutine waits for a thread, and how it goes on in a context of its own."""

from __future__ import annotations

import asyncio
import threading
import time
import typing as t
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from contextvars import copy_context
from types import coroutine

import pytest

from tests.freed import freed
from torsyq.amid import raised
from torsyq.amid import Stopped
from torsyq.loop import current_ending
from torsyq.loop import run_coroutine
from torsyq.threads import run_in_thread
from torsyq.threads import within

colour: ContextVar[str] = ContextVar("colour", default="none")


def in_pool(workers: int, test: t.Callable[[ThreadPoolExecutor], t.Any]) -> None:
    with ThreadPoolExecutor(workers) as pool:
        asyncio.run(test(pool))


def test_context_variables_go_into_a_thread_and_come_back() -> None:
    async def run(pool: ThreadPoolExecutor) -> None:
        colour.set("red")

        def paint(new: str, *, old: str) -> str:
            assert colour.get() == old
            colour.set(new)
            return "painted"

        assert await run_in_thread(pool, paint, "blue", old="red") == "painted"
        assert colour.get() == "blue"

    in_pool(1, run)


def test_within_a_context_threads_are_in_that_very_one() -> None:
    """So that one may set back what another has set; not beside a task that is in a copy of it."""

    async def run(pool: ThreadPoolExecutor) -> None:
        async def work() -> list[str]:
            token = await run_in_thread(pool, colour.set, "red")
            one, other = asyncio.Event(), asyncio.Event()
            async with asyncio.TaskGroup() as group:
                group.create_task(beside("green", one, other))
                group.create_task(beside("blue", other, one))
            seen = [colour.get()]
            await run_in_thread(pool, colour.reset, token)
            return [*seen, colour.get()]

        async def beside(name: str, mine: asyncio.Event, others: asyncio.Event) -> None:
            await run_in_thread(pool, colour.set, name)
            mine.set()
            await others.wait()
            assert await run_in_thread(pool, colour.get) == name

        assert await within(copy_context(), work()) == ["red", "none"]
        assert colour.get() == "none"

    in_pool(2, run)


@pytest.mark.parametrize("is_within", [False, True])
def test_a_pool_that_takes_nothing_any_more_is_the_callers_error(is_within: bool) -> None:
    async def run(pool: ThreadPoolExecutor) -> None:
        pool.shutdown()
        with pytest.raises(RuntimeError, match="shutdown"):
            await (within(copy_context(), call(pool)) if is_within else call(pool))

    async def call(pool: ThreadPoolExecutor) -> None:
        await run_in_thread(pool, int)

    in_pool(1, run)


@pytest.mark.parametrize("is_within", [False, True])
@pytest.mark.parametrize("fails", [False, True])
def test_a_cancelled_task_waits_for_its_thread_however_often_it_is_told(
    fails: bool, is_within: bool
) -> None:
    begun, go = threading.Event(), threading.Event()
    events: list[str] = []

    def work() -> None:
        begun.set()
        go.wait(30)
        events.append("thread ends")
        if fails:
            raise KeyError("nobody hears of it")

    async def run(pool: ThreadPoolExecutor) -> None:
        async def wait() -> None:
            working = run_in_thread(pool, work)
            await (within(copy_context(), working) if is_within else working)

        task = asyncio.create_task(wait())
        await asyncio.to_thread(begun.wait, 30)
        for _ in range(3):
            task.cancel()
            await asyncio.sleep(0.001)
            assert not task.done()
        go.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        events.append("task ends")

    in_pool(1, run)
    assert events == ["thread ends", "task ends"]


@pytest.mark.parametrize("kind", [Exception, StopIteration])
def test_an_error_in_a_thread_is_freed_at_once(kind: type[Exception]) -> None:
    class Own(kind):  # type: ignore[misc, valid-type]
        pass

    def fail() -> None:
        raise Own

    async def run(pool: ThreadPoolExecutor) -> None:
        try:
            await run_in_thread(pool, fail)
        except (Own, Stopped) as error:
            kept.append(weakref.ref(raised(error)))
        # What the thread itself holds, it has let go of.
        await run_in_thread(pool, int)

    with freed() as kept:
        in_pool(1, run)


def test_a_cancelled_task_is_freed_with_what_it_waited_for() -> None:
    """Its error is held by it, and the error's traceback leads to who woke it."""

    class Own:
        pass

    begun, go = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go.wait(30)

    async def run(pool: ThreadPoolExecutor) -> None:
        async def wait() -> None:
            own = Own()
            kept.append(weakref.ref(own))
            await run_in_thread(pool, work)

        task = asyncio.create_task(wait())
        await asyncio.to_thread(begun.wait, 30)
        task.cancel()
        go.set()
        await asyncio.wait([task])
        assert task.cancelled()

    with freed() as kept:
        in_pool(1, run)


def test_a_cancelled_task_ends_what_its_thread_waits_for_and_nothing_later() -> None:
    async def run(pool: ThreadPoolExecutor) -> None:
        begun, ended = threading.Event(), threading.Event()

        def work() -> bool:
            current_ending.get().add(ended.set)
            begun.set()
            return ended.wait(30)

        task = asyncio.create_task(run_in_thread(pool, work))
        await asyncio.to_thread(begun.wait, 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert ended.is_set()
        assert await run_in_thread(pool, lambda: current_ending.get().has_come) is False
        assert current_ending.get(None) is None

    in_pool(1, run)


def test_a_cancelled_task_ends_the_coroutine_its_thread_waits_for_but_no_clean_up() -> None:
    events = []

    async def waits() -> None:
        events.append("waits")
        await asyncio.Event().wait()

    async def cleans_up() -> None:
        await asyncio.sleep(0)
        events.append("cleaned up")

    def work() -> None:
        try:
            run_coroutine(waits)()
        finally:
            run_coroutine(cleans_up)()

    async def run(pool: ThreadPoolExecutor) -> None:
        task = asyncio.create_task(run_in_thread(pool, work))
        while not events:
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    in_pool(1, run)
    assert events == ["waits", "cleaned up"]


def test_a_cancelled_task_does_not_wait_for_what_has_not_begun() -> None:
    go = threading.Event()
    events: list[str] = []

    async def run(pool: ThreadPoolExecutor) -> None:
        busy = asyncio.create_task(run_in_thread(pool, go.wait, 30))
        queued = asyncio.create_task(run_in_thread(pool, events.append, "never"))
        await asyncio.sleep(0.001)
        queued.cancel()
        with pytest.raises(asyncio.CancelledError):
            await queued
        go.set()
        await busy

    in_pool(1, run)
    assert events == []


@pytest.mark.parametrize("kind", ["Task", "_PyTask"])
def test_any_of_asyncios_tasks_can_wait_for_a_thread(kind: str) -> None:
    make = getattr(asyncio.tasks, kind)

    async def run(pool: ThreadPoolExecutor) -> None:
        asyncio.get_running_loop().set_task_factory(
            lambda loop, coro, **options: make(coro, loop=loop, **options)
        )
        tasks = [asyncio.create_task(run_in_thread(pool, pow, 2, n)) for n in range(50)]
        assert await asyncio.gather(*tasks) == [2**n for n in range(50)]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(run_in_thread(pool, time.sleep, 0.01), 0.001)
        with pytest.raises(ZeroDivisionError):
            await asyncio.create_task(run_in_thread(pool, divmod, 1, 0))

    in_pool(2, run)


def test_a_task_may_be_cancelled_just_when_its_thread_has_ended() -> None:
    async def run(pool: ThreadPoolExecutor) -> None:
        task = asyncio.create_task(run_in_thread(pool, print, end=""))
        await asyncio.sleep(0)
        # Until here the loop could not hear of its end.
        pool.submit(print, end="").result(30)
        task.cancel("too late")
        with pytest.raises(asyncio.CancelledError, match="too late"):
            await task
        await asyncio.sleep(0.001)
        assert await run_in_thread(pool, int, "7") == 7

    in_pool(1, run)


def test_work_that_a_pool_gives_up_is_cancelled() -> None:
    async def run() -> None:
        pool = ThreadPoolExecutor(1)
        go = threading.Event()
        busy = asyncio.create_task(run_in_thread(pool, go.wait, 30))
        queued = asyncio.create_task(run_in_thread(pool, print, "never"))
        await asyncio.sleep(0)
        pool.shutdown(wait=False, cancel_futures=True)
        with pytest.raises(asyncio.CancelledError):
            await queued
        go.set()
        assert await busy

    asyncio.run(run())


# Within a context.


def test_what_is_set_within_a_context_stays_there() -> None:
    async def paint(name: str) -> str:
        before = colour.get()
        colour.set(name)
        await asyncio.sleep(0)
        return f"{before} {colour.get()}"

    async def run() -> list[str]:
        context = copy_context()
        seen = [await within(context, paint("red")), await within(context, paint("blue"))]
        return [*seen, colour.get(), await asyncio.create_task(paint("green"))]

    assert asyncio.run(run()) == ["none red", "red blue", "none", "none green"]


def test_what_was_begun_in_a_context_ends_there() -> None:
    @coroutine
    def paint(name: str) -> t.Generator[t.Any, t.Any, str]:
        colour.set(name)
        yield from asyncio.sleep(0)
        return colour.get()

    async def run() -> tuple[str, str]:
        context = copy_context()
        work = paint("red")
        awaited = context.run(next, work)
        return await within(context, work, awaited), colour.get()

    assert asyncio.run(run()) == ("red", "none")


def test_within_a_context_the_task_is_the_same_and_can_be_cancelled_and_timed() -> None:
    events: list[t.Any] = []

    async def wait() -> None:
        events.append(asyncio.current_task())
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            events.append("cancelled")
            raise

    async def timed() -> str:
        try:
            async with asyncio.timeout(0):
                await wait()
        except TimeoutError:
            return "late"
        return "never"

    async def run() -> None:
        assert await within(copy_context(), timed()) == "late"
        assert events == [asyncio.current_task(), "cancelled"]
        task = asyncio.create_task(outer())
        while len(events) < 3:
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert events[2:] == [task, "cancelled"]

    async def outer() -> None:
        await within(copy_context(), wait())

    asyncio.run(run())


def test_an_error_within_a_context_is_the_callers_and_is_freed_at_once() -> None:
    class Own(Exception):
        pass

    async def fail(where: str) -> None:
        if where == "task":
            await asyncio.create_task(fail("at once"))
        if where == "later":
            await asyncio.sleep(0)
        raise Own

    async def recover() -> str:
        try:
            await fail("later")
        except Own:
            return "recovered"
        return "never"

    async def run() -> None:
        for where in ("at once", "later", "task"):
            try:
                await within(copy_context(), fail(where))
            except Own as error:
                kept.append(weakref.ref(error))
        assert await within(copy_context(), recover()) == "recovered"

    with freed(3) as kept:
        asyncio.run(run())


def test_what_is_never_finished_within_a_context_is_closed() -> None:
    events: list[str] = []

    @coroutine
    def pause() -> t.Generator[None, None, None]:
        yield

    async def work() -> None:
        try:
            await pause()
        finally:
            events.append("closed")

    async def outer() -> None:
        await within(copy_context(), work())

    running = outer()
    running.send(None)
    running.close()
    assert events == ["closed"]
