"""Sync code beneath async code that waits, while the event loop goes on."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import typing as t
import weakref
from contextlib import suppress
from contextvars import ContextVar
from types import coroutine

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.freed import freed

greenlet = pytest.importorskip("greenlet")
suspending = pytest.importorskip("torsyq.suspending")
can_suspend, suspend = suspending.can_suspend, suspending.suspend
suspendable: t.Callable[[t.Any], t.Any] = suspending.suspendable

colour: ContextVar[str] = ContextVar("colour", default="none")


async def after_others(value: t.Any) -> t.Any:
    await asyncio.sleep(0)
    return value


def test_sync_code_waits_and_others_run_meanwhile() -> None:
    done: list[str] = []

    def wait_in_sync_code() -> str:
        done.append("before")
        got: str = suspend(after_others("came"))
        done.append("after")
        return got

    @suspendable
    async def view() -> list[str]:
        return [wait_in_sync_code(), await after_others("awaited"), wait_in_sync_code()]

    async def other() -> None:
        done.append("other")

    async def run() -> None:
        beside = asyncio.create_task(other())
        assert await view() == ["came", "awaited", "came"]
        await beside

    asyncio.run(run())
    assert done == ["before", "other", "after", "before", "after"]


def test_arguments_go_in_and_errors_come_out() -> None:
    @suspendable
    async def view(number: int, *, name: str) -> None:
        raise LookupError(number, name)

    with pytest.raises(LookupError, match=r"\(1, 'Aru'\)"):
        asyncio.run(view(1, name="Aru"))


def test_an_error_of_what_is_waited_for_is_raised_in_the_sync_code() -> None:
    async def fail() -> None:
        await asyncio.sleep(0)
        raise LookupError("lost")

    @suspendable
    async def view() -> str:
        try:
            suspend(fail())
        except LookupError as error:
            return f"{error}, {sys.exc_info()[1]}"
        return "never"

    assert asyncio.run(view()) == "lost, lost"


def test_a_task_is_cancelled_where_its_sync_code_waits() -> None:
    ended: list[str] = []

    @suspendable
    async def view() -> None:
        try:
            suspend(asyncio.Event().wait())
        except asyncio.CancelledError:
            ended.append("cancelled")
            suspend(after_others(None))
            raise
        finally:
            ended.append("finally")

    async def run() -> None:
        task = asyncio.create_task(view())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert ended == ["cancelled", "finally"]


def test_a_timeout_ends_sync_code() -> None:
    @suspendable
    async def view() -> str:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                suspend(asyncio.Event().wait())
        return "in time"

    assert asyncio.run(view()) == "in time"


def test_context_variables_are_those_of_the_task() -> None:
    @suspendable
    async def view(name: str) -> str:
        token = colour.set(name)
        suspend(after_others(None))
        before = colour.get()
        await asyncio.sleep(0)
        assert colour.get() == before
        colour.reset(token)
        suspend(after_others(None))
        assert colour.get() == "outside"
        colour.set(f"after {name}")
        return before

    async def one(name: str) -> tuple[str, str]:
        colour.set("outside")
        return await view(name), colour.get()

    async def run() -> list[tuple[str, str]]:
        return await asyncio.gather(*map(one, "abc"))

    assert asyncio.run(run()) == [(name, f"after {name}") for name in "abc"]
    assert colour.get() == "none"


def test_an_error_that_is_being_handled_is_found() -> None:
    found: list[BaseException | None] = []

    @suspendable
    async def handler() -> BaseException | None:
        suspend(after_others(None))
        return sys.exc_info()[1]

    async def run() -> None:
        lost = LookupError("lost")
        try:
            raise lost
        except LookupError:
            found.append(await handler())
        found.append(await handler())
        assert found == [lost, None]

    asyncio.run(run())


def test_only_its_own_task_and_thread_can_be_suspended() -> None:
    async def beside() -> bool:
        return bool(can_suspend())

    @suspendable
    async def view() -> list[bool]:
        in_thread = await asyncio.to_thread(can_suspend)
        return [can_suspend(), await beside(), in_thread, await asyncio.create_task(beside())]

    assert asyncio.run(view()) == [True, True, False, False]
    assert not asyncio.run(beside())
    assert not can_suspend()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks begin in a later turn")
def test_a_task_that_is_begun_at_once_is_another_one() -> None:
    async def beside() -> bool:
        return bool(can_suspend())

    @suspendable
    async def view() -> list[bool]:
        return [await asyncio.create_task(beside()), bool(can_suspend())]

    async def run() -> list[bool]:
        factory = getattr(asyncio, "eager_task_factory")  # noqa: B009
        asyncio.get_running_loop().set_task_factory(factory)
        return [*await view()]

    assert asyncio.run(run()) == [False, True]


def test_one_within_another() -> None:
    @suspendable
    async def inner() -> str:
        return str(suspend(after_others("inner")))

    @suspendable
    async def outer() -> list[str]:
        return [await inner(), suspend(after_others("outer")), await inner()]

    assert asyncio.run(outer()) == ["inner", "outer", "inner"]


def test_greenlets_of_others_come_back_whoever_is_suspended_meanwhile() -> None:
    """SQLAlchemy's AsyncSession goes on in one that was begun in an earlier step."""

    def from_greenlet() -> t.Any:
        return greenlet.getcurrent().parent.switch("asked")

    @suspendable
    async def view(answer: str, rest: int) -> str:
        suspend(after_others(None))
        other = greenlet.greenlet(from_greenlet)
        assert other.switch() == "asked"
        for _ in range(rest):
            await asyncio.sleep(0)
            suspend(after_others(None))
        await asyncio.sleep(0)
        return str(other.switch(answer))

    async def run() -> list[str]:
        return [*await asyncio.gather(*(view(str(number), number % 3) for number in range(9)))]

    assert asyncio.run(run()) == [str(number) for number in range(9)]


def test_what_waits_when_its_loop_is_gone_is_closed() -> None:
    ended: list[type[BaseException]] = []

    @coroutine
    def forever() -> t.Generator[None, None, None]:
        while True:
            yield

    @suspendable
    async def view() -> None:
        try:
            suspend(forever())
        except BaseException as error:
            ended.append(type(error))
            raise

    begun = view()
    begun.send(None)
    begun.close()
    assert ended == [GeneratorExit]


def test_nothing_of_a_request_is_kept() -> None:
    """Greenlets are, for the next."""

    class Kept:
        pass

    @suspendable
    async def view(thing: Kept) -> None:
        suspend(after_others(thing))
        await after_others(thing)
        raise LookupError(thing)

    @suspendable
    async def waiting(thing: Kept) -> None:
        await asyncio.Event().wait()

    with freed(3) as refs:

        async def run() -> None:
            things = thing, other, third = Kept(), Kept(), Kept()
            refs.extend(map(weakref.ref, things))
            kept: ContextVar[Kept] = ContextVar("kept")
            kept.set(other)
            with suppress(LookupError):
                await view(thing)
            task = asyncio.create_task(waiting(third))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])

        asyncio.run(run())


def test_greenlets_are_used_again_and_few_are_kept() -> None:
    at_once = 150

    @suspendable
    async def view() -> None:
        suspend(asyncio.sleep(0.001))

    async def run() -> int:
        await asyncio.gather(*(view() for _ in range(at_once)))
        for _ in range(at_once):
            await view()
        return len(suspending._spare.runners)

    kept: list[int] = []
    thread = threading.Thread(target=lambda: kept.append(asyncio.run(run())))
    thread.start()
    thread.join()
    assert kept == [suspending._SPARE]


def test_greenlets_that_are_not_kept_are_freed_also_with_their_thread() -> None:
    @suspendable
    async def view() -> None:
        suspend(asyncio.sleep(0))

    async def run(at_once: int) -> None:
        await asyncio.gather(*(view() for _ in range(at_once)))

    def there() -> int:
        gc.collect()
        return sum(type(thing) is suspending._Runner for thing in gc.get_objects())

    async def many_times() -> list[int]:
        numbers = []
        for _ in range(3):
            await run(suspending._SPARE + 50)
            numbers.append(there())
        return numbers

    before = there()
    numbers: list[int] = []
    thread = threading.Thread(target=lambda: numbers.extend(asyncio.run(many_times())))
    thread.start()
    thread.join()
    assert numbers[0] == numbers[2]
    assert there() == before


@given(st.lists(st.lists(st.sampled_from("saet"), max_size=6), max_size=12))
def test_tasks_keep_to_themselves_whatever_the_order(plans: list[list[str]]) -> None:
    """They suspend, await, fail and run in threads, in any order, each with a colour of its own."""

    async def fail() -> None:
        await asyncio.sleep(0)
        raise LookupError

    @suspendable
    async def work(name: str, plan: list[str]) -> str:
        colour.set(name)
        for step in plan:
            if step == "s":
                assert suspend(after_others(name)) == name
            elif step == "a":
                assert await after_others(name) == name
            elif step == "t":
                assert await asyncio.to_thread(colour.get) == name
            else:
                with pytest.raises(LookupError):
                    suspend(fail())
            assert colour.get() == name
        return colour.get()

    async def run() -> list[str]:
        tasks = [asyncio.create_task(work(str(i), plan)) for i, plan in enumerate(plans)]
        return [await task for task in tasks]

    assert asyncio.run(run()) == [str(number) for number in range(len(plans))]
