"""SQLAlchemy in async views: who waits for the database waits alone."""

from __future__ import annotations

import asyncio
import importlib
import sqlite3
import sys
import threading
import typing as t
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest import mock

import pytest

from tests.servers import PATIENCE
from torsyq import calling
from torsyq import Flask
from torsyq import request
from torsyq import websocket

if t.TYPE_CHECKING:
    import sqlalchemy as sa
else:
    sa = pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy")
    pytest.importorskip("torsyq.databases", reason="needs greenlet")


@pytest.fixture
def engine(tmp_path: Path) -> t.Iterator[sa.Engine]:
    """An engine with a single connection."""
    engine = sa.create_engine(
        f"sqlite:///{tmp_path / 'test.sqlite'}", pool_size=1, max_overflow=0, pool_timeout=PATIENCE
    )
    with engine.begin() as connection:
        connection.exec_driver_sql("create table word (word varchar primary key)")
    yield engine
    engine.dispose()


def ask(engine: sa.Engine, sql: str = "select 1") -> t.Any:
    with engine.connect() as connection:
        return connection.execute(sa.text(sql)).scalar()


def answers_of(app: Flask, *paths: str) -> list[tuple[int, str]]:
    """What is answered over ASGI where all is asked for at once."""

    async def run() -> list[tuple[int, str]]:
        async with app.async_test_client() as client:
            responses = await asyncio.gather(*map(client.get, paths))
            return [(r.status_code, r.text) for r in responses]

    return asyncio.run(run())


def hold(app: Flask, engine: sa.Engine, seconds: float = 0.05) -> None:
    """A view that holds the connection while it awaits something."""

    @app.get("/hold")
    async def hold() -> str:
        with engine.connect() as connection:
            connection.execute(sa.text("select 1"))
            await asyncio.sleep(seconds)
        return "held"


def test_more_views_than_connections_over_asgi(app: Flask, engine: sa.Engine) -> None:
    hold(app, engine, 0.001)
    assert answers_of(app, *["/hold"] * 30) == [(200, "held")] * 30


def test_more_views_than_connections_over_wsgi(app: Flask, engine: sa.Engine) -> None:
    hold(app, engine, 0.001)
    with ThreadPoolExecutor(10) as pool:
        texts = pool.map(lambda _: app.test_client().get("/hold").text, range(30))
        assert [*texts] == ["held"] * 30


def test_hooks_streams_and_background_tasks_wait_too(app: Flask, engine: sa.Engine) -> None:
    hold(app, engine)
    done: list[t.Any] = []

    async def later() -> None:
        done.append(ask(engine))

    @app.before_request
    async def before() -> None:
        if request.path == "/hook":
            ask(engine)

    @app.get("/hook")
    async def hook() -> str:
        return "hook"

    @app.get("/stream")
    async def stream() -> t.Any:
        async def pieces() -> t.AsyncIterator[str]:
            await asyncio.sleep(0)
            yield str(ask(engine))

        return pieces()

    @app.get("/background")
    async def background() -> str:
        app.add_background_task(later)
        return "begun"

    answers = answers_of(
        app, "/hold", "/background", "/hook", "/stream", "/hold", "/hook", "/stream"
    )
    assert answers == [
        (200, "held"),
        (200, "begun"),
        (200, "hook"),
        (200, "1"),
        (200, "held"),
        (200, "hook"),
        (200, "1"),
    ]
    assert done == [1]


def test_websockets_wait_too(app: Flask, engine: sa.Engine) -> None:
    @app.websocket("/ws")
    async def ws() -> None:
        with engine.connect() as connection:
            connection.execute(sa.text("select 1"))
            await websocket.send("held")
            await websocket.receive()

    async def talk(client: t.Any) -> str:
        async with client.websocket("/ws") as connection:
            text: str = await connection.receive()
            await connection.send("thanks")
            return text

    async def run() -> list[str]:
        async with app.async_test_client() as client:
            return await asyncio.gather(*(talk(client) for _ in range(5)))

    assert asyncio.run(run()) == ["held"] * 5


def test_a_plain_view_gives_its_connection_to_an_async_one(app: Flask, engine: sa.Engine) -> None:
    hold(app, engine, 0.001)
    inside = threading.Event()

    @app.get("/plain")
    def plain() -> str:
        with engine.connect():
            inside.wait(0.02)
        return "plain"

    paths = ["/plain", "/hold"] * 5
    assert answers_of(app, *paths) == [(200, "plain"), (200, "held")] * 5


def test_who_waits_too_long_gets_sqlalchemys_error(app: Flask, engine: sa.Engine) -> None:
    hold(app, engine)
    impatient = sa.create_engine(engine.url, pool_size=1, max_overflow=0, pool_timeout=0.01)

    @app.get("/impatient")
    async def view() -> str:
        in_vain = pytest.raises(sa.exc.TimeoutError, match="connection timed out, timeout 0.01")
        with impatient.connect(), in_vain:
            ask(impatient)
        return "tired"

    assert answers_of(app, "/impatient", "/hold") == [(200, "tired"), (200, "held")]
    assert ask(impatient) == 1
    impatient.dispose()


def test_all_that_is_given_back_at_once_is_taken(app: Flask, tmp_path: Path) -> None:
    """SQLAlchemy closes what is one too many to keep, and who waits would be told of none."""
    engine = sa.create_engine(
        f"sqlite:///{tmp_path / 'x'}", pool_size=1, max_overflow=2, pool_timeout=PATIENCE
    )
    pool: t.Any = engine.pool

    async def meet(barrier: asyncio.Barrier) -> None:
        with engine.connect():
            async with asyncio.timeout(PATIENCE / 2):
                await barrier.wait()

    async def run() -> None:
        first, second = asyncio.Barrier(4), asyncio.Barrier(3)
        meets = app._for_the_loop(meet)
        tasks = [asyncio.create_task(meets(first if i < 3 else second)) for i in range(6)]
        while len(pool._pool._waiting) < 3:
            await asyncio.sleep(0)
        await first.wait()
        await asyncio.gather(*tasks)

    ask(engine)
    asyncio.run(run())
    assert (pool.checkedout(), pool.checkedin()) == (0, 1)
    engine.dispose()


def test_what_a_thread_gives_back_at_any_moment_is_taken(app: Flask, engine: sa.Engine) -> None:
    """Also between a look for it and the wait for it."""
    ask(engine)
    held = engine.connect()
    pool: t.Any = engine.pool
    queue: t.Any = sa.util.queue.Queue
    get = queue.get

    def get_late(self: t.Any, block: bool = True, timeout: float | None = None) -> t.Any:
        try:
            return get(self, block, timeout)
        except sa.util.queue.Empty:
            if not held.closed:
                thread = threading.Thread(target=held.close)
                thread.start()
                thread.join()
            raise

    async def run() -> t.Any:
        async with asyncio.timeout(PATIENCE / 2):
            return await app._for_the_loop(_ask_async)(engine)

    with mock.patch.object(queue, "get", get_late):
        assert asyncio.run(run()) == 1
    assert pool.checkedout() == 0
    assert not pool._pool._waiting


def test_who_is_cancelled_in_the_line_leaves_it(app: Flask, engine: sa.Engine) -> None:
    """The next one's turn comes, also where it was the turn of the one that went."""
    wait = app._for_the_loop(_ask_async)

    pool: t.Any = engine.pool

    async def run() -> None:
        connection = engine.connect()
        tasks = [asyncio.create_task(wait(engine)) for _ in range(4)]
        await asyncio.sleep(0.01)
        assert len(pool._pool._waiting) == 4
        tasks[1].cancel()
        await asyncio.sleep(0)
        assert len(pool._pool._waiting) == 3
        connection.close()
        tasks[0].cancel()
        assert await asyncio.gather(*tasks[2:]) == [1, 1]
        assert all(task.cancelled() for task in tasks[:2])
        assert pool.checkedout() == 0

    ask(engine)
    asyncio.run(run())


async def _ask_async(engine: sa.Engine) -> t.Any:
    return ask(engine)


def test_views_that_write_wait_for_one_another(app: Flask, tmp_path: Path) -> None:
    """SQLite locks the whole file until the transaction ends, other databases the row."""
    url = f"sqlite:///{tmp_path / 'locked.sqlite'}"
    engine = sa.create_engine(url, connect_args={"timeout": PATIENCE})
    with engine.begin() as connection:
        connection.exec_driver_sql("create table word (word varchar)")

    @app.get("/write")
    async def write() -> str:
        with engine.begin() as connection:
            connection.execute(sa.text("insert into word values ('torsyq')"))
            await asyncio.sleep(0.001)
        return "written"

    assert answers_of(app, *["/write"] * 8) == [(200, "written")] * 8
    assert ask(engine, "select count(*) from word") == 8
    engine.dispose()


def test_a_commit_waits_for_who_reads(app: Flask, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'read.sqlite'}"
    engine = sa.create_engine(url, connect_args={"timeout": PATIENCE})
    with engine.begin() as connection:
        connection.exec_driver_sql("create table word (word varchar)")
        connection.exec_driver_sql("insert into word values ('a'), ('b')")
    reads = asyncio.Event()

    @app.get("/read")
    async def read() -> str:
        with engine.connect() as connection:
            words = connection.execute(sa.text("select word from word"))
            reads.set()
            await asyncio.sleep(0.05)
            return "".join(words.scalars())

    @app.get("/write")
    async def write() -> str:
        await reads.wait()
        with engine.begin() as connection:
            connection.execute(sa.text("insert into word values ('c')"))
        return "written"

    assert answers_of(app, "/read", "/write") == [(200, "ab"), (200, "written")]
    engine.dispose()


def slow(engine: sa.Engine) -> tuple[threading.Event, threading.Event]:
    """Have SQL know a function that takes until the second event is set."""
    begun, may_end = threading.Event(), threading.Event()

    def linger(word: str) -> str:
        begun.set()
        assert may_end.wait(PATIENCE)
        return word

    @sa.event.listens_for(engine, "engine_connect")
    def know(connection: sa.Connection) -> None:
        connection.connection.dbapi_connection.create_function("linger", 1, linger)  # type: ignore[union-attr]

    return begun, may_end


@pytest.mark.parametrize("kind", ["execute", "many", "no parameters"])
def test_a_slow_statement_holds_up_nobody(app: Flask, engine: sa.Engine, kind: str) -> None:
    _, may_end = slow(engine)

    @app.get("/slow")
    async def view() -> str:
        with engine.begin() as connection:
            if kind == "execute":
                sql = sa.text("insert into word values (linger(:word))")
                connection.execute(sql, {"word": "a"})
            elif kind == "many":
                sql = sa.text("insert into word values (linger(:word))")
                connection.execute(sql, [{"word": "a"}, {"word": "b"}])
            else:
                bare = connection.execution_options(no_parameters=True)
                bare.exec_driver_sql("insert into word values (linger('a'))")
        return str(ask(engine, "select count(*) from word"))

    @app.get("/quick")
    async def quick() -> str:
        may_end.set()
        return "quick"

    count = "2" if kind == "many" else "1"
    assert answers_of(app, "/slow", "/quick") == [(200, count), (200, "quick")]


def test_what_a_statement_raises_is_raised(app: Flask, engine: sa.Engine) -> None:
    @app.get("/wrong")
    async def view() -> str:
        with pytest.raises(sa.exc.OperationalError, match="no such table"):
            ask(engine, "select * from nowhere")
        return str(ask(engine))

    assert answers_of(app, "/wrong") == [(200, "1")]


def test_nobody_has_the_connection_of_a_statement_that_runs(app: Flask, engine: sa.Engine) -> None:
    """Who is cancelled waits for its end."""
    begun, may_end = slow(engine)
    wait = app._for_the_loop(_linger)
    pool: t.Any = engine.pool

    async def run() -> None:
        task = asyncio.create_task(wait(engine))
        while not begun.is_set():
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.sleep(0.01)
        task.cancel()
        assert not task.done()
        assert pool.checkedout() == 1
        may_end.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert pool.checkedout() == 0

    asyncio.run(run())
    assert ask(engine) == 1


async def _linger(engine: sa.Engine) -> t.Any:
    return ask(engine, "select linger('word')")


def test_a_pool_made_anew_is_seen_to_again(app: Flask, engine: sa.Engine) -> None:
    hold(app, engine, 0.001)
    assert answers_of(app, *["/hold"] * 3) == [(200, "held")] * 3
    engine.dispose()
    assert answers_of(app, *["/hold"] * 9) == [(200, "held")] * 9


def test_sqlalchemy_1_says_more_of_a_connection(engine: sa.Engine) -> None:
    """Whether it is a branch of another one."""
    databases = importlib.import_module("torsyq.databases")
    pool: t.Any = engine.pool
    with engine.connect() as connection:
        databases._see_to_engine(connection, False)
    assert type(pool._pool) is databases.Line


def test_other_pools_and_plain_code_are_left_alone(app: Flask, tmp_path: Path) -> None:
    """A connection to a database in memory is for one thread."""
    memory = sa.create_engine("sqlite://")
    unlimited = sa.create_engine(f"sqlite:///{tmp_path / 'x'}", poolclass=sa.NullPool)

    @app.get("/memory")
    async def view() -> str:
        return f"{ask(memory)} {ask(unlimited)}"

    assert answers_of(app, "/memory") == [(200, "1 1")]
    assert ask(memory) == 1
    memory.dispose()


def test_without_greenlet_views_run_as_ever(app: Flask, engine: sa.Engine) -> None:
    @app.get("/")
    async def view() -> str:
        return str(ask(engine))

    hidden = {"greenlet": None, "torsyq.suspending": None, "torsyq.databases": None}
    with mock.patch.dict(sys.modules, hidden):
        calling._suspendable.cache_clear()
        try:
            assert calling._suspendable() is None
            assert answers_of(app, "/") == [(200, "1")]
        finally:
            calling._suspendable.cache_clear()


def test_sqlite_is_not_asked_from_a_thread_of_its_own() -> None:
    """What the tests stand on: a connection of a pool is good in every thread."""
    engine = sa.create_engine("sqlite:///x.sqlite")
    assert isinstance(engine.pool, sa.QueuePool)
    assert engine.dialect.create_connect_args(engine.url)[1]["check_same_thread"] is False
    assert sqlite3.threadsafety in {1, 3}
