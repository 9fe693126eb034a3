from __future__ import annotations

import asyncio
import functools
import os
import threading
import typing as t
import weakref
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from contextvars import copy_context
from pathlib import Path
from unittest import mock

import pytest

from tests.freed import freed
from torsyq import Flask
from torsyq import g
from torsyq import loop
from torsyq import request
from torsyq import session
from torsyq.loop import EitherIterator
from torsyq.loop import Ending
from torsyq.loop import is_async
from torsyq.loop import lasting_loop
from torsyq.loop import run_coroutine
from torsyq.loop import serving_loop
from torsyq.loop import set_twin
from torsyq.loop import twin_of

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


def test_a_coroutine_cancelled_before_it_began_is_freed_at_once() -> None:
    """Its task holds an error, whose traceback holds the coroutine."""

    def never(*args: t.Any) -> t.NoReturn:
        raise AssertionError

    class Own:
        pass

    async def run() -> None:
        own = Own()
        kept.append(weakref.ref(own))
        here = asyncio.get_running_loop()
        call = loop.Call(here, None, never, own)
        waiting = asyncio.create_task(asyncio.to_thread(call.result))
        del own
        async with asyncio.timeout(30):
            while call._task is None:
                await asyncio.sleep(0)
        call._task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    with freed() as kept:
        asyncio.run(run())


def test_a_task_that_cannot_be_made_is_the_callers_error() -> None:
    """As by a task factory from before Python 3.11, which takes no context."""

    async def name() -> str:
        return "name"

    def make_task(loop: asyncio.AbstractEventLoop, coro: t.Any) -> asyncio.Task[t.Any]:
        return asyncio.Task(coro, loop=loop)

    errors: list[str] = []

    def call() -> None:
        with pytest.raises(TypeError) as info:
            run_coroutine(name)()
        errors.append(str(info.value))

    async def main() -> None:
        here = asyncio.get_running_loop()
        here.set_task_factory(make_task)
        serving_loop.set(here)
        threading.Thread(target=copy_context().run, args=(call,), daemon=True).start()
        async with asyncio.timeout(30):
            while not errors:
                await asyncio.sleep(0)

    asyncio.run(main())
    assert "context" in errors[0]


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


def test_a_twin_is_not_of_another_function_of_the_same_code() -> None:
    """SECURITY: the views of two classes have the same code, and one may guard the other."""

    def new(name: str) -> t.Callable[[], str]:
        return lambda: name

    async def twin() -> None: ...

    plain, guard = new("plain"), new("guard")
    set_twin(plain, twin)
    assert twin_of(functools.update_wrapper(guard, plain)) is None


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
            ending.wait_for(loop.Call(lasting_loop(), None, work))
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


def test_an_end_that_finds_a_call_ended_ends_the_next() -> None:
    """Whose thread has not noticed yet: what it waits for next might wait for ever."""
    ending = Ending()
    ending.tells_the_next = True
    call = loop.Call(lasting_loop(), None, asyncio.sleep, 0)
    ending.add(call.cancel)
    call.result()
    until("the task has ended", lambda: call._task is not None and call._task.done())
    lasting_loop().call_soon_threadsafe(ending.come)
    until("the end has come", lambda: ending.has_come)
    ending.remove(call.cancel)
    assert ending.is_news
    with pytest.raises(asyncio.CancelledError):
        ending.wait_for(loop.Call(lasting_loop(), None, asyncio.Event().wait))
    assert not ending.is_news
