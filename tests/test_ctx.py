from __future__ import annotations

import asyncio
import contextvars
import io
import threading
import typing as t
from concurrent.futures import ThreadPoolExecutor

import flask
import pytest
from werkzeug.datastructures import FileStorage
from werkzeug.datastructures import ImmutableMultiDict
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import Forbidden
from werkzeug.exceptions import NotFound
from werkzeug.routing import BaseConverter
from werkzeug.routing import ValidationError

import torsyq
from torsyq import after_this_request
from torsyq import copy_current_request_context
from torsyq import Flask
from torsyq import g
from torsyq import has_app_context
from torsyq import has_request_context
from torsyq import request
from torsyq import session
from torsyq.ctx import _AppCtxGlobals
from torsyq.ctx import AppContext
from torsyq.ctx import RequestContext
from torsyq.globals import _cv_app
from torsyq.globals import request_ctx
from torsyq.sessions import SecureCookieSession
from torsyq.sessions import SecureCookieSessionInterface
from torsyq.testing import FlaskClient
from torsyq.wrappers import Request

frameworks = pytest.mark.parametrize("framework", [flask, torsyq])


@frameworks
def test_g_is_a_namespace(framework: t.Any) -> None:
    app = framework.Flask("g")
    assert repr(framework.ctx._AppCtxGlobals()).startswith("<")
    with app.app_context():
        g = framework.g
        assert repr(g) == "<flask.g of 'g'>"
        g.a = 1
        assert (g.get("a"), g.get("b"), g.get("b", 2)) == (1, None, 2)
        assert (g.setdefault("a", 9), g.setdefault("c", 3)) == (1, 3)
        assert list(g) == ["a", "c"]
        assert (g.pop("a"), g.pop("a", None)) == (1, None)
        with pytest.raises(KeyError):
            g.pop("a")
        with pytest.raises(AttributeError):
            g.a  # noqa: B018


def test_g_outside_of_a_context_shows_itself_as_an_object() -> None:
    shown = repr(torsyq.ctx._AppCtxGlobals())
    assert shown.startswith("<torsyq.ctx_app._AppCtxGlobals object at ")


def test_contexts_are_told(app: Flask) -> None:
    assert not has_app_context()
    with app.app_context():
        assert has_app_context()
        assert not has_request_context()
    with app.test_request_context():
        assert has_app_context()
        assert has_request_context()


def test_a_request_shares_an_app_context_of_its_own_app_only(app: Flask) -> None:
    other = Flask("other")
    with app.app_context():
        g.owner = "app"
        with app.test_request_context():
            assert g.owner == "app"
        with other.test_request_context():
            assert "owner" not in g


def test_contexts_can_be_pushed_again(app: Flask) -> None:
    ended: list[t.Any] = []
    app.teardown_request(lambda exc: ended.append("request"))
    app.teardown_appcontext(lambda exc: ended.append("app"))
    app_context = app.app_context()
    with app_context, app_context:
        assert ended == []
    assert ended == ["app"]
    ended.clear()
    context = app.test_request_context()
    with context, context:
        assert ended == []
    assert ended == ["request", "app"]


@frameworks
def test_popping_in_the_wrong_order_is_an_error(framework: t.Any) -> None:
    def pop_in_the_wrong_order() -> None:
        app = framework.Flask("order")
        first = app.app_context()
        first.push()
        app.app_context().push()
        with pytest.raises(AssertionError, match="Popped wrong app context"):
            first.pop()
        request_contexts = app.test_request_context(), app.test_request_context()
        for context in request_contexts:
            context.push()
        with pytest.raises(AssertionError, match="Popped wrong request context"):
            request_contexts[0].pop()

    # In a copy of the context variables, since it leaves them in disorder.
    contextvars.copy_context().run(pop_in_the_wrong_order)


@frameworks
def test_the_url_is_matched_even_where_the_request_is_refused_beforehand(framework: t.Any) -> None:
    class Refused(framework.Request):  # type: ignore[misc]
        def __init__(self, *args: t.Any, **kwargs: t.Any) -> None:
            super().__init__(*args, **kwargs)
            self.routing_exception = Forbidden()

    app = framework.Flask("t")
    app.request_class = Refused
    seen: list[t.Any] = []
    app.before_request(
        lambda: seen.append((framework.request.endpoint, framework.request.view_args))
    )
    app.add_url_rule("/<int:number>", "page", lambda number: "")
    assert app.test_client().get("/5").status_code == 403
    assert seen == [("page", {"number": 5})]


def test_an_error_ends_the_context_with_itself(app: Flask) -> None:
    seen: list[t.Any] = []
    app.teardown_request(seen.append)
    app.teardown_appcontext(seen.append)
    error = ValueError("mine")
    with pytest.raises(ValueError, match="mine"), app.test_request_context():
        raise error
    assert seen == [error, error]


def test_popped_by_hand_while_an_error_is_handled_teardown_is_told_of_it(app: Flask) -> None:
    seen: list[t.Any] = []
    app.teardown_request(seen.append)
    app.teardown_appcontext(seen.append)
    for context in app.test_request_context(), app.app_context():
        context.push()
        try:
            raise ValueError("handled")
        except ValueError:
            context.pop()
    assert [type(each) for each in seen] == [ValueError] * 3


def test_the_session_needs_a_pushed_context(app: Flask) -> None:
    context = app.test_request_context()
    with pytest.raises(AssertionError, match="not yet been opened"):
        context.session  # noqa: B018
    with context:
        assert context.session == {}


def test_a_session_is_opened_when_first_read(
    app: Flask, anyclient: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    make = SecureCookieSession.__init__

    def counted(self: SecureCookieSession, *args: t.Any) -> None:
        opened.append(request.path)
        make(self, *args)

    monkeypatch.setattr(SecureCookieSession, "__init__", counted)
    app.add_url_rule("/untouched", endpoint="untouched", view_func=lambda: "")
    app.add_url_rule("/touched", endpoint="touched", view_func=lambda: str(session.get("n")))
    anyclient.get("/untouched")
    assert opened == []
    anyclient.get("/touched")
    assert opened == ["/touched"]


def test_an_interface_that_opens_its_own_way_is_asked_at_once(
    app: Flask, anyclient: FlaskClient
) -> None:
    opened = []

    class Eager(SecureCookieSessionInterface):
        def open_session(self, app: Flask, request: torsyq.Request) -> t.Any:
            opened.append(request.path)
            return super().open_session(app, request)

    app.session_interface = Eager()
    app.add_url_rule("/", endpoint="index", view_func=lambda: "")
    anyclient.get("/")
    assert opened == ["/"]


@pytest.mark.parametrize("fails", [False, True])
def test_a_session_is_opened_before_the_url_is_matched(
    app: Flask, anyclient: FlaskClient, fails: bool
) -> None:
    """So where opening fails, none of the route's hooks and handlers is asked."""
    seen = []

    class Sessions(SecureCookieSessionInterface):
        def open_session(self, app: Flask, request: torsyq.Request) -> t.Any:
            seen.append((request.endpoint, request.view_args))
            if fails:
                raise OSError("The store does not answer.")
            return super().open_session(app, request)

    app.session_interface = Sessions()
    app.config["PROPAGATE_EXCEPTIONS"] = False
    app.add_url_rule("/<int:n>", endpoint="n", view_func=lambda n: f"{request.endpoint} {n}")
    app.register_error_handler(500, lambda error: f"{request.endpoint}")
    assert anyclient.get("/5").text == ("None" if fails else "n 5")
    assert seen == [(None, None)]


def test_a_session_without_a_key_is_a_null_session(app: Flask) -> None:
    app.secret_key = None
    with app.test_request_context(), pytest.raises(RuntimeError, match="no secret key was set"):
        session["n"] = 1


def test_after_this_request_is_for_one_request(app: Flask, anyclient: FlaskClient) -> None:
    @app.get("/<name>")
    def view(name: str) -> str:
        if name == "tagged":

            @after_this_request
            def tag(response: torsyq.Response) -> torsyq.Response:
                response.headers["X-Tag"] = "yes"
                return response

        return name

    assert anyclient.get("/tagged").headers["X-Tag"] == "yes"
    assert "X-Tag" not in anyclient.get("/plain").headers


@frameworks
def test_what_needs_a_request_says_so_without_one(framework: t.Any) -> None:
    for use in framework.after_this_request, framework.copy_current_request_context:
        with pytest.raises(RuntimeError, match="request context is active, such as in a view"):
            use(lambda response: response)


def test_a_copied_context_serves_another_thread(app: Flask, anyclient: FlaskClient) -> None:
    found: list[t.Any] = []

    @app.get("/work")
    def view() -> str:
        session["n"] = 1

        @copy_current_request_context
        def work(extra: int) -> None:
            """Done in another thread."""
            found.append((request.path, session["n"], extra))

        assert work.__doc__ == "Done in another thread."
        thread = threading.Thread(target=work, args=(5,))
        thread.start()
        thread.join(30)
        return "done"

    assert anyclient.get("/work").text == "done"
    assert found == [("/work", 1, 5)]


def test_each_call_of_a_copied_context_has_a_copy_of_its_own(app: Flask) -> None:
    """Where several threads call at once, none of them pops what another one pushed.

    On Flask they share one, which cannot be left then ("created in a different Context").
    """
    ended: list[int | None] = []
    app.teardown_appcontext(lambda error: ended.append(g.get("own")))
    all_in = threading.Barrier(4, timeout=30)

    def work(number: int) -> tuple[str, int]:
        g.own = number
        all_in.wait()
        session[str(number)] = True
        return request.args["n"], g.own

    async def async_work(number: int) -> tuple[str, int]:
        return await asyncio.to_thread(work, number)

    for func in work, async_work:
        with app.test_request_context("/?n=5"):
            call: t.Any = copy_current_request_context(func)
            with ThreadPoolExecutor(4) as pool:
                assert [*pool.map(call, range(4))] == [("5", number) for number in range(4)]
            assert len(session) == 4
            assert sorted(ended) == [0, 1, 2, 3]  # type: ignore[type-var]
        ended.clear()


def test_a_copy_before_the_session_was_read_shares_it(app: Flask) -> None:
    with app.test_request_context() as ctx:
        copied = ctx.copy()
        assert copied.session == {}
        with copied:
            session["n"] = 1
        assert session["n"] == 1


@frameworks
def test_a_g_of_the_app_s_own_may_look_an_attribute_up_in_super(framework: t.Any) -> None:
    class Own(framework.ctx._AppCtxGlobals):  # type: ignore[misc]
        def __getattribute__(self, name: str) -> t.Any:
            return super().__getattr__(name) if name == "user" else super().__getattribute__(name)

    app = framework.Flask("own")
    app.app_ctx_globals_class = Own
    with app.app_context():
        assert not hasattr(framework.g, "user")
        framework.g.user = "Aigul"
        assert framework.g.user == "Aigul"


def test_a_copy_before_the_push_opens_no_session(app: Flask) -> None:
    opened = []

    class Sessions(SecureCookieSessionInterface):
        def open_session(self, app: Flask, request: t.Any) -> t.Any:
            opened.append(request.path)
            return super().open_session(app, request)

    app.session_interface = Sessions()
    copied = app.test_request_context("/a").copy()
    assert opened == []
    with copied:
        assert opened == ["/a"]


def test_matching_is_kept_for_dispatching(app: Flask) -> None:
    app.add_url_rule("/<int:n>", endpoint="n", view_func=lambda n: str(n))
    with app.test_request_context("/5"):
        assert (request.endpoint, request.view_args) == ("n", {"n": 5})
    with app.test_request_context("/x"):
        assert isinstance(request.routing_exception, NotFound)
        with pytest.raises(NotFound):
            app.dispatch_request()


def test_a_converter_may_look_at_the_request_and_keep_things_in_g(
    app: Flask, anyclient: FlaskClient
) -> None:
    """SECURITY: it may be what tells who may see a page."""

    class Own(BaseConverter):
        def to_python(self, value: str) -> str:
            if has_request_context() and "token" not in request.args:
                raise ValidationError()
            return value

    class Careful(Own):
        def to_python(self, value: str) -> str:
            try:
                return super().to_python(value)
            except RuntimeError:
                return "no request"

    class Kept(Own):
        def to_python(self, value: str) -> str:
            g.user = value
            return super().to_python(value)

    app.url_map.converters.update(own=Own, careful=Careful, kept=Kept)
    for kind in "own", "careful", "kept":
        rule = f"/{kind}/<{kind}:name>"
        app.add_url_rule(rule, endpoint=kind, view_func=lambda name: f"{name} {g.get('user')}")
    for kind in "own", "careful", "kept":
        assert anyclient.get(f"/{kind}/Abai").status_code == 404
        seen = "Abai" if kind == "kept" else None
        assert anyclient.get(f"/{kind}/Abai?token=1").text == f"Abai {seen}"


def test_a_map_of_werkzeugs_own_class_is_used(anyclient: FlaskClient) -> None:
    from werkzeug.routing import Map

    class Plain(Flask):
        url_map_class = Map

    app = Plain("plain")
    app.add_url_rule("/<int:n>", endpoint="n", view_func=lambda n: str(n))
    assert app.test_client().get("/5").text == "5"
    assert app.test_client().get("/x").status_code == 404


def test_uploads_are_closed_with_the_request(app: Flask) -> None:
    with app.test_request_context(method="POST", data={"f": (t.cast(t.Any, _file()), "f.txt")}):
        upload = request.files["f"]
        assert not upload.stream.closed
    assert upload.stream.closed


def _file() -> t.Any:
    import io

    return io.BytesIO(b"data")


def test_a_context_shows_its_request(app: Flask) -> None:
    with app.test_request_context("/here", method="POST") as ctx:
        assert repr(ctx) == "<RequestContext 'http://localhost/here' [POST] of tests.app>"
        assert isinstance(request_ctx._get_current_object(), RequestContext)  # type: ignore[attr-defined]
        assert isinstance(_cv_app.get(), AppContext)


def test_an_adapter_a_subclass_makes_is_made_with_the_context() -> None:
    made: list[t.Any] = []

    class Own(Flask):
        def create_url_adapter(self, request: torsyq.Request | None) -> t.Any:
            made.append(request and request.path)
            return super().create_url_adapter(request)

    app = Own("own")
    with app.app_context():
        assert made == [None]
    with app.test_request_context("/here"):
        assert made == [None, "/here", None]


def test_a_missing_attribute_of_g_is_named_as_in_flask() -> None:
    def text(action: t.Callable[[], object]) -> str:
        with pytest.raises(AttributeError) as caught:
            action()
        return str(caught.value)

    with Flask("app").app_context():
        assert text(lambda: g.nothing) == "nothing"
        assert text(lambda: delattr(g, "nothing")) == "nothing"
        g.there = 1
        del g.there
        assert "there" not in g


def test_a_class_for_g_may_call_attribute_access_on_super() -> None:
    class Globals(_AppCtxGlobals):
        def __getattr__(self, name: str) -> t.Any:
            if name == "now":
                return "made when read"
            return super().__getattr__(name)

    app = Flask("app")
    app.app_ctx_globals_class = Globals
    with app.app_context():
        assert g.now == "made when read"
        assert not hasattr(g, "later")


def test_a_url_adapter_set_before_the_context_is_pushed_matches_the_request() -> None:
    app = Flask("app")
    app.add_url_rule("/", "index")
    app.add_url_rule("/other", "other")
    ctx = app.test_request_context("/")
    ctx.url_adapter = app.url_map.bind("localhost", path_info="/other")
    with ctx:
        assert request.endpoint == "other"
    ctx = app.test_request_context("/")
    ctx.url_adapter = None
    with ctx:
        assert request.url_rule is None


@pytest.mark.parametrize("make", ["app_context", "test_request_context"])
def test_popping_once_too_often_is_an_error_of_looking_up(make: str) -> None:
    app = Flask("app")
    ctx = getattr(app, make)()
    with ctx:
        pass
    with pytest.raises(LookupError) as caught:
        ctx.pop()
    assert not isinstance(caught.value, IndexError)
    with app.test_request_context(), pytest.raises(IndexError):
        ctx.pop()


@frameworks
def test_a_wrong_order_of_popping_is_told_before_an_error_of_teardown(framework: t.Any) -> None:
    def run() -> None:
        app = framework.Flask("app")
        outer, inner = app.test_request_context("/a"), app.test_request_context("/b")

        @app.teardown_request
        def fail(error: t.Any) -> None:
            raise KeyError("of teardown")

        outer.push()
        inner.push()
        with pytest.raises(AssertionError, match="Popped wrong request context"):
            outer.pop()
        assert not outer._cv_tokens

    contextvars.copy_context().run(run)


def test_hosts_that_the_request_class_trusts_are_the_only_ones(
    app: Flask, anyclient: FlaskClient
) -> None:
    class Own(Request):
        trusted_hosts = ["good.example"]

    app.request_class = Own
    app.add_url_rule("/", "index", lambda: "here")
    assert anyclient.get("/", headers={"Host": "good.example"}).text == "here"
    assert anyclient.get("/", headers={"Host": "evil.example"}).status_code == 400


@pytest.mark.parametrize("make", ["app_context", "test_request_context"])
@frameworks
def test_a_context_pushed_by_a_teardown_function_stays_pushed(framework: t.Any, make: str) -> None:
    def run() -> None:
        app = framework.Flask("app")
        ctx = getattr(app, make)()
        pushed: list[t.Any] = []

        def push_once(error: t.Any) -> None:
            if not pushed:
                pushed.append(ctx)
                ctx.push()

        app.teardown_appcontext(push_once)
        app.teardown_request(push_once)
        ctx.push()
        ctx.pop()
        assert framework.has_app_context() or make == "test_request_context"
        assert framework.has_request_context() is (make == "test_request_context")
        assert len(ctx._cv_tokens) == 1
        ctx.pop()
        assert not framework.has_request_context()
        assert not ctx._cv_tokens

    contextvars.copy_context().run(run)


def test_files_that_are_assigned_are_closed(app: Flask, anyclient: FlaskClient) -> None:
    file = io.BytesIO()

    @app.get("/")
    def index() -> str:
        request.files = ImmutableMultiDict({"file": FileStorage(file)})
        assert request.files["file"].stream is file
        return "here"

    assert anyclient.get("/").text == "here"
    assert file.closed
    with app.test_request_context("/"):
        request.files = ImmutableMultiDict()
        del request.files
        assert not request.files


@pytest.mark.parametrize("name", ["_load_form_data", "files"])
def test_files_that_a_request_class_finds_by_itself_are_closed(
    app: Flask, anyclient: FlaskClient, name: str
) -> None:
    file = io.BytesIO()

    class Own(Request):
        def find(self) -> t.Any:
            found = self.__dict__["files"] = MultiDict({"file": file})
            return found

        if name == "files":
            files = property(find)
        else:
            _load_form_data = find

    @app.get("/")
    def index() -> str:
        return str(len(request.files))

    app.request_class = Own
    assert anyclient.get("/").text == "1"
    assert file.closed
