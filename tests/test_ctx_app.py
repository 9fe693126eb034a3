from __future__ import annotations

import asyncio
import contextvars
import threading
import typing as t

import flask
import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.local import LocalProxy

import torsyq
from torsyq import Flask
from torsyq import g
from torsyq.ctx import AppContext
from torsyq.globals import _cv_app

frameworks = pytest.mark.parametrize("framework", [flask, torsyq])


def get(app: t.Any, path: str = "/") -> str:
    """What the app answers, called as a server calls it (a test client looks at the contexts)."""
    environ = flask.Flask("other").test_request_context(path).request.environ
    del environ["werkzeug.request"]
    return b"".join(app(environ, lambda *args: None)).decode()


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[AppContext]:
    contexts: list[AppContext] = []
    constructor = AppContext.__init__

    def counted(self: AppContext, app: Flask) -> None:
        contexts.append(self)
        constructor(self, app)

    monkeypatch.setattr(AppContext, "__init__", counted)
    return contexts


def test_an_app_context_that_nobody_looks_at_is_not_made(made: list[AppContext]) -> None:
    app = Flask("t")

    @app.get("/")
    def index() -> dict[str, str]:
        return {"name": torsyq.current_app.name, "url": torsyq.url_for("index")}

    assert get(app) == '{"name":"t","url":"/"}\n'
    assert made == []


def test_the_parts_of_a_request_share_one_app_context(made: list[AppContext]) -> None:
    app = Flask("t")
    app.before_request(lambda: setattr(g, "a", "a"))

    @app.get("/")
    def index() -> str:
        thread = threading.Thread(
            target=contextvars.copy_context().run, args=(setattr, g, "b", "b")
        )
        thread.start()
        thread.join()
        assert torsyq.globals.app_ctx.g is g._get_current_object()
        return g.a + g.b  # type: ignore[no-any-return]

    assert get(app) == "ab"
    assert len(made) == 1


@frameworks
def test_g_set_first_by_who_was_begun_in_the_request_is_there_for_the_view(
    framework: t.Any,
) -> None:
    app, g = framework.Flask("t"), framework.g

    @app.get("/")
    def index() -> str:
        contextvars.copy_context().run(setattr, g, "seen", "by both")
        return str(g.seen)

    assert get(app) == "by both"


@frameworks
def test_who_outlives_the_request_keeps_its_g(framework: t.Any) -> None:
    app, g = framework.Flask("t"), framework.g
    contexts: list[contextvars.Context] = []

    @app.get("/<name>")
    def index(name: str) -> str:
        if name != "unseen":
            g.name = name
        contexts.append(contextvars.copy_context())
        return name

    for name in "one", "two", "unseen":
        get(app, f"/{name}")
    kept = [context.run(lambda: g.get("name")) for context in contexts]
    assert kept == ["one", "two", None]
    assert contexts[2].run(lambda: framework.current_app.name) == "t"
    assert not framework.has_app_context()


@frameworks
@pytest.mark.parametrize("looks", [True, False])
def test_at_its_end_the_app_context_is_current_and_the_request_is_not(
    framework: t.Any, looks: bool
) -> None:
    app, g = framework.Flask("t"), framework.g
    seen: list[object] = []

    @app.teardown_appcontext
    def end(error: BaseException | None) -> None:
        seen.append((framework.current_app.name, g.get("a"), framework.has_request_context()))

    @app.get("/")
    def index() -> str:
        if looks:
            g.a = 1
        return ""

    get(app)
    assert seen == [("t", 1 if looks else None, False)]
    assert not framework.has_app_context()


@frameworks
def test_receivers_hear_of_a_request_s_app_context(framework: t.Any) -> None:
    app = framework.Flask("t")
    heard: list[str] = []

    @app.get("/")
    def index() -> str:
        heard.append("view")
        return ""

    def hear(signal: t.Any, name: str) -> t.Any:
        def receiver(sender: t.Any, **kwargs: t.Any) -> None:
            heard.append(f"{name} {framework.has_app_context()} {framework.has_request_context()}")

        return signal.connected_to(receiver, app)

    for name in "appcontext_pushed", "appcontext_tearing_down", "appcontext_popped":
        with hear(getattr(framework, name), name):
            get(app)
    assert heard == [
        "appcontext_pushed True False",
        "view",
        "view",
        "appcontext_tearing_down True False",
        "view",
        "appcontext_popped False False",
    ]


@frameworks
def test_a_teardown_of_a_subclass_is_called_for_every_request(framework: t.Any) -> None:
    called: list[bool] = []

    class Own(framework.Flask):  # type: ignore[misc]
        def do_teardown_appcontext(self, *args: t.Any) -> None:
            called.append(framework.has_app_context())
            super().do_teardown_appcontext(*args)

    app = Own("t")
    app.add_url_rule("/", view_func=lambda: "")
    get(app)
    assert called == [True]


@frameworks
def test_a_request_within_a_request_shares_g_with_its_own_app_only(framework: t.Any) -> None:
    app, other, g = framework.Flask("app"), framework.Flask("other"), framework.g

    @app.get("/")
    def index() -> str:
        g.who = "outer"
        inner = get(app, "/inner"), get(other), g.who
        assert framework.current_app.name == "app"
        return " ".join(inner)

    @app.get("/inner")
    def inner() -> str:
        was, g.who = g.who, "inner"
        return f"{was}>{g.who}"

    other.add_url_rule("/", view_func=lambda: str(g.get("who")))
    assert get(app) == "outer>inner None inner"


@frameworks
def test_an_app_context_pushed_in_a_request_hides_the_request_s(framework: t.Any) -> None:
    app, other, g = framework.Flask("app"), framework.Flask("other"), framework.g

    @app.get("/")
    def index() -> str:
        names = []
        for inner in app, other:
            with inner.app_context():
                names.append(
                    f"{framework.current_app.name} {g.get('who')} {framework.request.path}"
                )
                g.who = "inner"
            g.who = "outer"
        return f"{names} {g.who} {framework.current_app.name}"

    assert get(app) == "['app None /', 'other None /'] outer app"


@frameworks
def test_an_app_context_left_in_a_request_is_an_error_after_teardown(framework: t.Any) -> None:
    app = framework.Flask("t")
    torn: list[bool] = []
    app.teardown_appcontext(lambda error: torn.append(True))
    left: list[t.Any] = []

    @app.get("/")
    def index() -> str:
        left.append(app.app_context())
        left[0].push()
        return ""

    def run() -> None:
        with pytest.raises(AssertionError, match="Popped wrong app context"):
            get(app)

    contextvars.Context().run(run)
    assert torn == [True]


@frameworks
@pytest.mark.parametrize("waits_for_the_end", [True, False])
def test_an_app_context_left_in_a_request_is_not_there_for_the_next(
    framework: t.Any, waits_for_the_end: bool
) -> None:
    def leave_and_ask() -> None:
        app = framework.Flask("t")
        seen: list[t.Any] = []
        if waits_for_the_end:
            app.teardown_appcontext(lambda error: seen.append(framework.g.get("user")))

        @app.get("/leave")
        def leave() -> str:
            app.app_context().push()
            app.app_context().push()
            framework.g.user = "alice"
            return ""

        app.add_url_rule(
            "/ask", view_func=lambda: framework.g.get("user", "nobody"), endpoint="ask"
        )
        with pytest.raises(AssertionError, match="Popped wrong app context"):
            get(app, "/leave")
        assert not framework.has_app_context()
        assert get(app, "/ask") == "nobody"
        assert seen == (["alice", None] if waits_for_the_end else [])

    contextvars.copy_context().run(leave_and_ask)


@frameworks
def test_what_was_left_is_not_there_again_when_it_is_popped_late(framework: t.Any) -> None:
    def pop_late() -> None:
        app = framework.Flask("t")
        first, second = app.app_context(), app.app_context()
        first.push()
        second.push()
        with pytest.raises(AssertionError, match="Popped wrong app context"):
            first.pop()
        with pytest.raises(LookupError, match=r"<ContextVar name='\w+.app_ctx'"):
            second.pop()
        assert not framework.has_app_context()

    contextvars.copy_context().run(pop_late)


def test_an_app_context_left_in_an_async_request_is_an_error(app: Flask) -> None:
    @app.get("/")
    async def index() -> str:
        app.app_context().push()
        return ""

    async def run() -> None:
        async with app.async_test_client() as client:
            with pytest.raises(AssertionError, match="Popped wrong app context"):
                await client.get("/")

    asyncio.run(run())


@frameworks
def test_the_request_s_own_app_context_may_be_pushed_once_more(framework: t.Any) -> None:
    app, g = framework.Flask("t"), framework.g
    torn: list[object] = []
    app.teardown_appcontext(lambda error: torn.append(g.a))

    @app.get("/")
    def index() -> str:
        g.a = 1
        with framework.globals.app_ctx._get_current_object():
            g.a += 1
        assert torn == []
        return str(g.a)

    assert get(app) == "2"
    assert torn == [2]


@frameworks
def test_a_request_context_pushed_anew_has_a_new_g(framework: t.Any) -> None:
    app, g = framework.Flask("t"), framework.g
    ctx = app.test_request_context()
    for _ in range(2):
        with ctx:
            assert "a" not in g
            g.a = 1
            with ctx:
                assert g.a == 1
    assert len(ctx._cv_tokens) == 0


@frameworks
def test_a_request_context_pushed_over_another_app_context_keeps_its_own(
    framework: t.Any,
) -> None:
    app, g = framework.Flask("t"), framework.g
    torn: list[object] = []
    app.teardown_appcontext(lambda error: torn.append(g.get("a")))
    with app.test_request_context() as ctx:
        with app.app_context():
            g.a = "by hand"
            with ctx:
                assert g.a == "by hand"
        assert "a" not in g
        g.a = "request"
    assert torn == ["by hand", "request"]


Program = list[tuple[str, int]]


def seen(framework: t.Any, program: Program) -> list[t.Any]:
    """What is current after each step of a program that pushes contexts and pops them in order."""
    apps = [framework.Flask("a"), framework.Flask("b")]
    made: list[t.Any] = [apps[0].app_context()]
    log: list[t.Any] = []
    g, has_app_context = framework.g, framework.has_app_context

    def look(step: object) -> None:
        name = value = path = None
        if has_app_context():
            name, value = framework.current_app.name, g.get("a")
        if framework.has_request_context():
            path = framework.request.path
        log.append((step, name, value, path))

    apps[1].teardown_appcontext(lambda error: look("app torn down"))
    apps[1].teardown_request(lambda error: look("request torn down"))

    def run(program: Program) -> None:
        pushed: list[t.Any] = []
        for at, (kind, number) in enumerate(program):
            if kind == "set":
                if has_app_context():
                    g.a = at
            elif kind == "pop":
                if pushed:
                    pushed.pop().pop(None)
            elif kind == "thread":
                call = contextvars.copy_context().run
                thread = threading.Thread(target=call, args=(run, program[at + 1 :]))
                thread.start()
                thread.join()
                break
            else:
                if kind == "app":
                    made.append(apps[number % 2].app_context())
                elif kind == "request":
                    made.append(apps[number % 2].test_request_context(f"/{at}"))
                pushed.append(made[-1 if kind != "again" else number % len(made)])
                pushed[-1].push()
            look(kind)
        while pushed:
            pushed.pop().pop(None)
            look("end")

    contextvars.Context().run(run, program)
    return log


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["app", "request", "again", "again", "set", "pop", "thread"]),
            st.integers(0, 3),
        ),
        max_size=12,
    )
)
def test_contexts_pushed_and_popped_in_order_are_what_they_are_in_flask(program: Program) -> None:
    assert seen(torsyq, program) == seen(flask, program)


def test_the_variable_of_the_app_context_answers_as_a_context_variable(app: Flask) -> None:
    assert isinstance(_cv_app, contextvars.ContextVar)
    with pytest.raises(LookupError):
        _cv_app.get()
    assert _cv_app.get("none") == "none"
    name: t.Any = LocalProxy(_cv_app, "g", unbound_message="nothing is current")
    with pytest.raises(RuntimeError, match="nothing is current"):
        name.x = 1
    with app.test_request_context() as ctx:
        name.x = 1
        assert g.x == 1
        assert _cv_app.get() is ctx._cv_tokens[0][1]
        other = app.app_context()
        token = _cv_app.set(other)
        assert _cv_app.get() is other
        _cv_app.reset(token)
        assert g.x == 1


def test_a_subclass_that_makes_app_contexts_makes_a_request_s_too() -> None:
    class Mine(AppContext):
        pass

    class Own(Flask):
        def app_context(self) -> AppContext:
            return Mine(self)

    app = Own("t")
    app.add_url_rule("/", view_func=lambda: type(_cv_app.get()).__name__)
    assert get(app) == "Mine"
