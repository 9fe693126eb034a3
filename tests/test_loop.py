from __future__ import annotations

import asyncio
import functools
import gc
import os
import threading
import time
import typing as t
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from contextvars import copy_context
from pathlib import Path
from types import coroutine
from unittest import mock

import pytest

from torsyq import Flask
from torsyq import g
from torsyq import loop
from torsyq import request
from torsyq import session
from torsyq.loop import current_ending
from torsyq.loop import EitherIterator
from torsyq.loop import Ending
from torsyq.loop import is_async
from torsyq.loop import lasting_loop
from torsyq.loop import run_coroutine
from torsyq.loop import run_in_thread
from torsyq.loop import serving_loop
from torsyq.loop import set_twin
from torsyq.loop import twin_of
from torsyq.loop import within

from .servers import run
from .servers import until

colour: ContextVar[str] = ContextVar("colour", default="none")


def test_one_loop_serves_every_call() -> None:
    async def which() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    call = run_coroutine(which)
    assert call() is call() is lasting_loop()


def test_what_belongs_to_the_loop_outlives_the_call() -> None:
    async def make() -> asyncio.Event:
        event = asyncio.Event()
        asyncio.get_running_loop().call_later(0.001, event.set)
        return event

    async def wait(event: asyncio.Event) -> bool:
        return await event.wait()

    assert run_coroutine(wait)(run_coroutine(make)()) is True


def test_context_variables_are_seen_and_changes_come_back() -> None:
    async def paint() -> str:
        seen = colour.get()
        await asyncio.sleep(0)
        colour.set("blue")
        return seen

    token = colour.set("red")
    try:
        assert run_coroutine(paint)() == "red"
        assert colour.get() == "blue"
    finally:
        colour.reset(token)


def test_errors_reach_the_caller() -> None:
    async def fail() -> None:
        raise LookupError("gone")

    with pytest.raises(LookupError, match="gone"):
        run_coroutine(fail)()


def test_the_loop_does_not_wait_for_itself() -> None:
    async def inner() -> None:
        raise AssertionError("never runs")

    async def outer() -> None:
        run_coroutine(inner)()

    with pytest.raises(RuntimeError, match="Await it in the view instead"):
        run_coroutine(outer)()


def test_threads_wait_side_by_side() -> None:
    """Both coroutines must be under way at once for either to end."""
    arrived: list[asyncio.Event] = []

    async def meet() -> bool:
        event = asyncio.Event()
        arrived.append(event)
        if len(arrived) == 2:
            for each in arrived:
                each.set()
        return await asyncio.wait_for(event.wait(), 30)

    results: list[bool] = []
    threads = [
        threading.Thread(target=lambda: results.append(run_coroutine(meet)())) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert results == [True, True]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the platform has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_gets_a_loop_of_its_own() -> None:
    async def one() -> int:
        return 1

    assert run_coroutine(one)() == 1
    pid = os.fork()
    if pid == 0:
        os._exit(0 if run_coroutine(one)() == 1 else 1)
    assert os.waitpid(pid, 0)[1] == 0


def test_async_view_sees_and_changes_request_g_and_session(app: Flask) -> None:
    @app.before_request
    async def before() -> None:
        g.seen = [request.path]

    @app.get("/<int:n>")
    async def view(n: int) -> dict[str, t.Any]:
        await asyncio.sleep(0)
        session["n"] = n
        return {"seen": g.seen, "n": n}

    client = app.test_client()
    assert client.get("/5").json == {"seen": ["/5"], "n": 5}
    with client.session_transaction() as saved:
        assert saved["n"] == 5


def test_a_coroutine_that_ends_the_process_does_not_end_the_loop() -> None:
    async def leave() -> None:
        raise SystemExit(3)

    async def one() -> int:
        return 1

    with pytest.raises(SystemExit):
        run_coroutine(leave)()
    assert run_coroutine(one)() == 1


def leave() -> None:
    raise SystemExit(3)


async def leave_later() -> None:
    leave()


@pytest.mark.parametrize(
    "end",
    [
        lambda loop: loop.stop(),
        lambda loop: loop.call_soon(leave),
        lambda loop: loop.create_task(leave_later()),
    ],
    ids=["stops it", "has a callback that exits", "has a task that exits"],
)
def test_no_coroutine_ends_the_loop_of_the_others(
    end: t.Callable[[asyncio.AbstractEventLoop], t.Any], caplog: pytest.LogCaptureFixture
) -> None:
    async def one() -> int:
        return 1

    async def view() -> None:
        task = end(asyncio.get_running_loop())
        await asyncio.sleep(0.001)
        if isinstance(task, asyncio.Task):
            task.exception()

    run_coroutine(view)()
    assert run_coroutine(one)() == 1
    logged = [str(record.exc_info and record.exc_info[1]) for record in caplog.records]
    assert logged in ([], ["3"])


def test_a_coroutine_cancelled_before_it_began_is_cancelled_for_its_caller() -> None:
    """As by a view that cancels all tasks there are."""
    begun: list[str] = []
    waits = threading.Event()

    async def never() -> None:
        begun.append("never")

    async def cancel_who_comes() -> bool:
        known = asyncio.all_tasks()
        waits.set()
        async with asyncio.timeout(30):
            while not (others := asyncio.all_tasks() - known):
                await asyncio.sleep(0)
        return all(task.cancel() for task in others)

    with ThreadPoolExecutor(1) as pool:
        cancelling = pool.submit(run_coroutine(cancel_who_comes))
        assert waits.wait(30)
        with pytest.raises(asyncio.CancelledError):
            run_coroutine(never)()
        assert cancelling.result(30)
    assert begun == []


def test_the_serving_loop_is_taken_where_there_is_one() -> None:
    async def which() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    async def run() -> None:
        loop = asyncio.get_running_loop()
        serving_loop.set(loop)
        assert await asyncio.to_thread(run_coroutine(which)) is loop

    asyncio.run(run())


def test_what_is_async_is_told() -> None:
    async def view() -> None: ...

    class Method:
        async def get(self) -> None: ...

        def post(self) -> None: ...

    def plain() -> None: ...

    async def generator() -> t.AsyncIterator[int]:
        yield 1

    method = Method().get
    funcs: list[t.Any] = [view, method, functools.partial(view), functools.partial(method)]
    assert all(map(is_async, funcs))
    others: list[t.Any] = [plain, Method().post, Method, Method(), len, generator]
    assert not any(map(is_async, [*others, functools.partial(plain)]))


def test_a_twin_is_of_one_function_alone() -> None:
    """Not of those that only show what that has: decorators' functions, mocks."""

    def plain() -> None: ...

    async def twin() -> None: ...

    set_twin(plain, twin)
    assert twin_of(plain) is twin

    @functools.wraps(plain)
    def wrapper() -> None: ...

    others: list[t.Any] = [wrapper, functools.partial(plain), mock.Mock(), twin, len]
    assert [twin_of(other) for other in others] == [None] * 5


# Iterators of either kind.


async def coloured(events: list[str]) -> t.AsyncIterator[str]:
    token = colour.set("source")
    try:
        for number in range(3):
            await asyncio.sleep(0)
            yield f"{colour.get()} {number}"
    finally:
        # Would raise in another context than the one it was made in.
        colour.reset(token)
        events.append("closed")


def test_an_async_iterator_is_iterated_without_a_loop() -> None:
    events: list[str] = []
    assert list(EitherIterator(coloured(events))) == ["source 0", "source 1", "source 2"]
    assert events == ["closed"]
    assert colour.get() == "none"


def test_an_async_iterator_left_early_is_closed() -> None:
    events: list[str] = []
    either = EitherIterator(coloured(events))
    iterator: t.Any = iter(either)
    assert next(iterator) == "source 0"
    iterator.close()
    assert events == ["closed"]
    either.close()
    assert events == ["closed"]


def test_an_async_iterator_never_begun_is_not_run_to_be_closed() -> None:
    events: list[str] = []
    either = EitherIterator(coloured(events))
    either.close()
    asyncio.run(either.aclose())
    assert events == []


def test_an_async_iterator_is_iterated_and_closed_on_a_loop() -> None:
    events: list[str] = []

    async def run() -> None:
        either = EitherIterator(coloured(events))
        async for item in either:
            assert item == "source 0"
            break
        await either.aclose()
        either.close()

    asyncio.run(run())
    assert events == ["closed"]


def test_an_async_iterator_without_aclose_is_iterated() -> None:
    class Once:
        left = 1

        def __aiter__(self) -> Once:
            return self

        async def __anext__(self) -> int:
            if not self.left:
                raise StopAsyncIteration
            self.left -= 1
            return 5

    assert list(EitherIterator(Once())) == [5]


# Threads.


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


def test_an_error_in_a_thread_is_freed_at_once() -> None:
    class Own(Exception):
        pass

    def fail() -> None:
        raise Own

    async def run(pool: ThreadPoolExecutor) -> None:
        try:
            await run_in_thread(pool, fail)
        except Own as error:
            kept.append(weakref.ref(error))
        # What the thread itself holds, it has let go of.
        await run_in_thread(pool, int)

    kept: list[weakref.ref[Own]] = []
    gc.disable()
    try:
        in_pool(1, run)
        assert [ref() for ref in kept] == [None]
    finally:
        gc.enable()


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


def test_a_loop_that_cannot_be_made_is_the_callers_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for it, and the next call may have more luck."""

    def fail() -> t.NoReturn:
        raise OSError("Too many open files")

    monkeypatch.setattr(loop, "_loop", None)
    with monkeypatch.context() as patch:
        patch.setattr("torsyq.loop.asyncio.new_event_loop", fail)
        with pytest.raises(OSError, match="Too many open files"):
            lasting_loop()
    made = lasting_loop()
    assert asyncio.run_coroutine_threadsafe(asyncio.sleep(0, "it runs"), made).result() == "it runs"
    # It runs for ever, but for what stands in the way.
    monkeypatch.setattr(made, "run_forever", made.close)
    made.call_soon_threadsafe(made.stop)
    until("the loop to be closed", made.is_closed)


# Within a context.


def test_where_no_thread_can_be_started_it_is_said_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As in Pyodide, which has none."""

    def fail(*args: object) -> t.NoReturn:
        raise RuntimeError("can't start new thread")

    async def view() -> str:
        return "salem"

    monkeypatch.setattr(loop, "_loop", None)
    with monkeypatch.context() as patch:
        patch.setattr(loop, "start_thread", fail)
        with pytest.raises(RuntimeError, match="no thread can be started .* over ASGI"):
            run_coroutine(view)()
    assert run_coroutine(view)() == "salem"


def test_a_system_without_fork_has_nothing_to_forget() -> None:
    program = "import os; del os.register_at_fork, os.fork; import torsyq"
    assert run(Path(), "-c", program).returncode == 0


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

    kept: list[weakref.ref[Own]] = []
    gc.disable()
    try:
        asyncio.run(run())
        assert [ref() for ref in kept] == [None, None, None]
    finally:
        gc.enable()


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


def test_an_ending_ends_what_was_added_before_and_after_it_came() -> None:
    ended: list[str] = []
    ending, another = Ending(), Ending()
    ends = {name: functools.partial(ended.append, name) for name in ("before", "removed", "after")}
    ending.add(ends["before"])
    ending.add(ends["removed"])
    ending.remove(ends["removed"])
    ending.remove(ends["after"])
    assert ended == []
    ending.come()
    assert ended == ["before"]
    ending.add(ends["after"])
    assert ended == ["before", "after"]
    another.come()
    assert ended == ["before", "after"]


def test_what_is_ended_twice_is_cancelled_once_and_may_clean_up() -> None:
    """As when the client goes, and then the server stops: a clean-up that waits is not cut off."""
    begun, ended = threading.Event(), threading.Event()
    may_end: list[asyncio.Event] = []
    ending = Ending()
    done: list[str] = []

    async def work() -> None:
        may_end.append(asyncio.Event())
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()
            await may_end[0].wait()
            done.append("cleaned up")

    def wait() -> None:
        try:
            ending.wait_for(loop.Call(work).begin(lasting_loop()))
        except asyncio.CancelledError:
            done.append("cancelled")

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait)
        assert begun.wait(30)
        ending.come()
        assert ended.wait(30)
        ending.come()
        lasting_loop().call_soon_threadsafe(may_end[0].set)
        waiting.result(30)
    assert done == ["cleaned up", "cancelled"]


def test_who_knows_of_the_end_is_spared() -> None:
    ending = Ending()
    may_know, may_end = threading.Event(), threading.Event()

    async def work() -> str:
        while not may_know.is_set():
            await asyncio.sleep(0.001)
        ending.spare(asyncio.current_task())
        while not may_end.is_set():
            await asyncio.sleep(0.001)
        return "cleaned up"

    with ThreadPoolExecutor(1) as pool:
        call = loop.Call(work).begin(lasting_loop())
        waiting = pool.submit(ending.wait_for, call)
        until("it can be ended", lambda: ending._calls)
        may_know.set()
        until("it knows", lambda: not ending._calls)
        ending.come()
        may_end.set()
        assert waiting.result(30) == "cleaned up"
